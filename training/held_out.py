"""Held-out queries as each pipeline answered them: a table, and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from retrieve_rerank.evaluation.bootstrap import bootstrap
from retrieve_rerank.evaluation.compare import DRAWS, deltas, randomisation_test
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation
from retrieve_rerank.evaluation.report.report import QueryChange, extremes
from retrieve_rerank.training.tuning import JUDGED, PRIMARY
from retrieve_rerank.types import Qrels

EXAMPLES = 5
"""Queries shown that gained most, and that lost most."""

_TOP = 3
_SHOWN = 240  # characters of a text


@dataclass(frozen=True, slots=True)
class Row:
    """One pipeline in the table of the held-out queries."""

    name: str
    value: float
    judged: float
    gain: float | None
    """Mean paired difference from the baseline; None for the baseline itself."""
    low: float | None
    """The gain's 95 % confidence interval."""
    high: float | None
    p: float | None
    """Of the paired randomisation test, two-sided."""


@dataclass(frozen=True, slots=True)
class Place:
    """A document in one of an example's rankings."""

    text: str
    relevant: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A query, and its best hits before and after."""

    change: QueryChange
    before: Sequence[Place]
    after: Sequence[Place]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The held-out queries, and what came of them."""

    systems: Sequence[StageEvaluation]
    """The first stage and the pipelines, the trained model's last."""
    baseline: StageEvaluation
    """That of them which the others are compared with."""
    queries: Mapping[str, str] = field(repr=False)
    qrels: Qrels = field(repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Document, as the judgments name it -> its text, of those that examples show."""

    @property
    def trained(self) -> StageEvaluation:
        """The pipeline with the trained model."""
        return self.systems[-1]

    def rows(self) -> list[Row]:
        """Compare the pipelines with the baseline on the primary measure."""
        rows = []
        for system in self.systems:
            value, judged = system.means[PRIMARY], system.means[JUDGED]
            if system is self.baseline:
                rows.append(Row(system.name, value, judged, None, None, None, None))
                continue
            differences = list(deltas(system, self.baseline, PRIMARY).values())
            low, high = bootstrap(differences, draws=DRAWS, widened=True)
            p = randomisation_test(differences)
            rows.append(Row(system.name, value, judged, fmean(differences), low, high, p))
        return rows

    def examples(self) -> tuple[list[Example], list[Example]]:
        """Return the queries that gained most over the baseline and those that lost most."""
        evaluation = Evaluation(self.qrels, self.queries, [PRIMARY, JUDGED], list(self.systems))
        gained, lost = extremes(evaluation, self.trained, self.baseline, PRIMARY)
        return [self._example(each) for each in gained[:EXAMPLES]], [
            self._example(each) for each in lost[:EXAMPLES]
        ]

    def _example(self, change: QueryChange) -> Example:
        before, after = (self._best(system, change.id) for system in (self.baseline, self.trained))
        return Example(change, before, after)

    def _best(self, system: StageEvaluation, query: str) -> list[Place]:
        ids = system.rankings.get(query, ())[:_TOP]
        grades = self.qrels[query]
        return [Place(excerpt(self.texts.get(id_, id_)), grades.get(id_, 0) > 0) for id_ in ids]


def shown_documents(systems: Sequence[StageEvaluation]) -> set[str]:
    """Return the documents whose texts examples may show: the best few of every query."""
    return {id_ for system in systems for ids in system.rankings.values() for id_ in ids[:_TOP]}


def excerpt(text: str) -> str:
    """Return the beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN].rstrip()}…"
