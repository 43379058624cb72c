"""The proof of a run: its held-out queries, and other collections, before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.finding import Found
from retrieve_rerank.training.finetuning.fitting import Fitted
from retrieve_rerank.training.finetuning.proof import Measured, Proof, measure, prove
from retrieve_rerank.training.finetuning.protecting import Protected, measure_elsewhere
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.types import Qrels


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """Measures a run's models on its held-out queries, and counts that they were looked at."""

    open_today: Callable[[], Retriever]
    judged: SplitJudgments
    protected: Sequence[Protected]
    settings: FinetuneSettings
    folder: RunFolder
    watch: Watch

    def measure(self, fitted: Fitted, test: Qrels, *, found: Found) -> Measured:
        """Search for held-out queries with each pipeline."""
        self.count_look()
        pipelines = 3 if found.todays_place else 2
        with (
            closing(self.open_today()) as today,
            self.watch.progress("proving", pipelines * len(test), "searches") as advance,
        ):
            return measure(
                today,
                fitted.scorer,
                fitted.place,
                found.todays_place,
                self.judged.queries,
                test,
                exclude_self=self.settings.exclude_self,
                users=self.judged.users,
                on_progress=advance,
            )

    def prove(self, measured: Measured, fitted: Fitted) -> Proof:
        """Measure the protected collections, judge all of it, and tell it."""
        searches = 2 * sum(len(each.qrels) for each in self.protected)
        with self.watch.progress("proving elsewhere", searches, "searches") as advance:
            others = {
                each.name: measure_elsewhere(each, fitted.scorer, fitted.place, on_progress=advance)
                for each in self.protected
            }
        with closing(self.open_today()) as today:
            proof = prove(
                measured,
                today.connector,
                self.judged.queries,
                self.judged.test,
                others={name: its.change for name, its in others.items()},
                failures={
                    pipeline: errors
                    for its in others.values()
                    for pipeline, errors in its.failures.items()
                },
                min_gain=self.settings.min_gain,
                max_p95_ms=self.settings.max_p95_ms,
                segments=self.judged.segments,
            )
        self.watch.tell(proof)
        return proof

    def count_look(self) -> int:
        """Note that this run looks at the test queries; return how many runs have."""
        return self.folder.count_look(self.judged.queries, self.judged.test)
