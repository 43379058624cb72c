"""The held-out queries, through the retriever that serves: before, at its best, and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from retrieve_rerank.base import Scorer
from retrieve_rerank.evaluation.evaluate import StageEvaluation, evaluate, latency
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.finetuning.placing import Place, with_place
from retrieve_rerank.training.finetuning.protecting import Protected, measure_change
from retrieve_rerank.training.gate import Verdict, judge
from retrieve_rerank.training.reporting import shown_documents
from retrieve_rerank.training.slices import query_slices
from retrieve_rerank.training.tuning import JUDGED, PRIMARY
from retrieve_rerank.types import Qrels

MEASURES = (PRIMARY, "RR@10", "R@100", JUDGED)

FIRST, TODAY, RETUNED, TUNED = "first stage", "today", "today, re-tuned", "fine-tuned"

PIPELINES = 3
"""Today's, the same re-tuned, and the trained model's: each searches for every query."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the held-out queries say."""

    verdict: Verdict
    systems: Sequence[StageEvaluation]
    """The first stage and the pipelines, the trained model's last."""
    p95_ms: Mapping[str, float]
    """Pipeline -> what 95 of 100 whole searches take at most."""
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Document -> its text, of those that stand first for some query."""

    @property
    def baseline(self) -> StageEvaluation:
        """The pipeline that the verdict compares with."""
        return next(system for system in self.systems if system.name == RETUNED)

    @property
    def failed(self) -> Mapping[str, str]:
        """Query -> why the trained model left the order as it was."""
        return self.systems[-1].errors

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "verdict": self.verdict.to_dict(),
            "systems": [
                {
                    "name": system.name,
                    "measures": dict(system.means),
                    "p95_ms": self.p95_ms.get(system.name),
                    "errors": dict(system.errors),
                    "per_query": {name: dict(each) for name, each in system.scores.items()},
                }
                for system in self.systems
            ],
        }


def prove(
    today: Retriever,
    scorer: Scorer,
    place: Place,
    todays_place: Place | None,
    queries: Mapping[str, str],
    test: Qrels,
    *,
    min_gain: float = 0.0,
    max_p95_ms: float | None = None,
    exclude_self: bool = False,
    protected: Sequence[Protected] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Proof:
    """Search for every held-out query with each pipeline, and judge the difference.

    The baseline is today's pipeline with its place re-tuned on the dev queries that the trained
    model's was chosen on. `protected` collections are searched as they are served today, and with
    the trained model at its place. Raises as `evaluate` and `judge` do.
    """
    pipelines = {
        TODAY: today,
        RETUNED: with_place(today, todays_place) if todays_place else today,
        TUNED: with_place(today, place, scorer),
    }
    measured = {
        name: evaluate(
            pipeline,
            queries,
            test,
            measures=MEASURES,
            exclude_self=exclude_self,
            on_progress=on_progress,
        )
        for name, pipeline in pipelines.items()
    }
    systems = [
        replace(measured[TODAY].stages[0], name=FIRST),
        *(replace(its.stages[-1], name=name) for name, its in measured.items()),
    ]
    verdict = judge(
        measured[RETUNED].stages[-1].rankings,
        measured[TUNED].stages[-1].rankings,
        test,
        served=measured[TODAY].stages[-1].rankings if todays_place else None,
        min_gain=min_gain,
        slices=query_slices({query: queries[query] for query in test}),
        others={
            each.name: measure_change(each, scorer, place, on_progress=on_progress)
            for each in protected
        },
        latency=latency(measured[TUNED].total_ms),
        max_p95_ms=max_p95_ms,
    )
    p95 = {name: latency(its.total_ms).p95 for name, its in measured.items()}
    shown = today.connector.get(sorted(shown_documents(systems)))
    texts = {document.id: Template().render(document) for document in shown}
    return Proof(verdict, systems, p95, texts)
