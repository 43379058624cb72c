"""What became of some of the queries: the protected slices, and other collections."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from retrieve_rerank.evaluation.bootstrap import bootstrap, resampled_means
from retrieve_rerank.evaluation.compare import DRAWS, SIGNIFICANCE, holm
from retrieve_rerank.training.queries.proposals import count_words

FEWEST_IN_SLICE = 30
"""Queries without which a slice is not tested: below, the mean's distribution is not near normal
enough for an interval to hold."""

MARGIN = 0.05
"""Loss of the primary measure that must be ruled out in a protected slice. For one in which nothing
changed on average that succeeds four times of five with 155 queries, at a spread of 0.25."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What became of some of the queries."""

    name: str
    queries: int
    gain: float
    low: float
    """The gain's 95 % confidence interval."""
    high: float
    before: float
    """Mean of the measure."""
    after: float
    p: float | None
    """Of a loss of the margin or more, one-sided, after Holm's correction over the slices; None
    where there are too few queries to tell."""

    @property
    def kept(self) -> bool | None:
        """Whether a loss of the margin is ruled out; None where there are too few queries."""
        return None if self.p is None else self.p < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Change:
    """The primary measure of some queries before and after, query -> value."""

    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def deltas(self) -> list[float]:
        """The differences, one for each query."""
        return [self.after[query] - value for query, value in self.before.items()]

    def of(self, queries: Collection[str]) -> Change:
        """Return what became of these of the queries."""
        kept = [query for query in dict.fromkeys(queries) if query in self.before]
        return Change({q: self.before[q] for q in kept}, {q: self.after[q] for q in kept})


def query_slices(
    queries: Mapping[str, str], counts: Mapping[str, int] | None = None
) -> dict[str, list[str]]:
    """Return the slices that every collection has: the shorter and the longer queries, by words.

    `counts` tell how often each query was asked: the tenth most frequent are the head.
    """
    lengths = {query: count_words(text) for query, text in queries.items()}
    ordered = sorted(lengths.values())
    found: dict[str, list[str]] = {}
    if ordered and ordered[0] < ordered[-1]:
        third = len(ordered) // 3
        short, long = ordered[third], ordered[-third - 1]
        found[f"short (at most {short} words)"] = [q for q, n in lengths.items() if n <= short]
        found[f"long (at least {long} words)"] = [q for q, n in lengths.items() if n >= long]
    if counts:
        often = sorted(queries, key=lambda query: -counts.get(query, 0))
        found["head"] = often[: max(1, len(often) // 10)]
    return found


def measure_slices(changes: Mapping[str, Change], margin: float) -> list[Slice]:
    """Measure each of the named changes; whether one lost is corrected for their number."""
    values = {name: change.deltas for name, change in changes.items() if change.before}
    tested = [name for name, its in values.items() if len(its) >= FEWEST_IN_SLICE]
    corrected = dict(
        zip(tested, holm([loss_p(values[name], margin) for name in tested]), strict=True)
    )
    return [
        Slice(
            name,
            len(its),
            fmean(its),
            *interval(its),
            fmean(changes[name].before.values()),
            fmean(changes[name].after.values()),
            corrected.get(name),
        )
        for name, its in values.items()
    ]


def loss_p(deltas: Sequence[float], margin: float) -> float:
    """Return the one-sided p of a mean loss of at least `margin`, by bootstrap over queries."""
    means = resampled_means(deltas, draws=DRAWS, widened=True)
    return float((1 + (means <= -margin).sum()) / (1 + len(means)))


def interval(deltas: Sequence[float]) -> tuple[float, float]:
    """Return the mean's 95 % confidence interval, by bootstrap over queries."""
    return bootstrap(deltas, draws=DRAWS, widened=True)
