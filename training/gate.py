"""Whether a trained model is promoted: it must be better on held-out queries, not only luckier.

The primary measure is nDCG@10, query by query, against today's pipeline with weight and depth tuned
on the same dev queries. A model is promoted where the lower end of the 95 % interval of the mean
difference exceeds the least gain wanted, no protected slice may have lost much, and searches stay
fast enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.bootstrap import bootstrap, resampled_means
from retrieve_rerank.evaluation.compare import DRAWS, SIGNIFICANCE, holm, randomisation_test
from retrieve_rerank.evaluation.evaluate import Latency
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.training.tuning import JUDGED, PRIMARY
from retrieve_rerank.types import Qrels

FEWEST_IN_SLICE = 30
"""Queries without which a slice is not tested: below, the mean's distribution is not near normal
enough for an interval to hold."""

MARGIN = 0.05
"""Loss of the primary measure that must be ruled out in a protected slice. For one in which nothing
changed on average that succeeds four times of five with 155 queries, at a spread of 0.25."""

POWER = 0.8
"""Chance of showing the least detectable gain, if there is one of that size."""

_TIE = 1e-9  # differences below it come from rounding


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, and why."""

    promote: bool
    measure: str
    before: float
    after: float
    gain: float
    """Mean paired difference of the measure over the queries."""
    low: float
    """The gain's 95 % confidence interval, by bootstrap over queries."""
    high: float
    p: float
    """Of the paired randomisation test, two-sided."""
    min_gain: float
    least_detectable: float
    """The least gain that these queries would show four times of five."""
    queries: int
    wins: int
    losses: int
    runs: int
    """Trained models, as from several seeds, whose values were averaged for each query."""
    judged_before: float
    """Share of the ten best hits that have a judgment."""
    judged_after: float
    slices: Sequence[Slice]
    reasons: Sequence[str]
    """Why not, a sentence each; empty where it is promoted."""
    advice: Sequence[str]
    """What to try, a sentence each; empty where it is promoted."""
    sentence: str
    """The verdict in words."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "slices": [{**asdict(s), "kept": s.kept} for s in self.slices]}


def judge(
    before: Rankings,
    after: Rankings | Sequence[Rankings],
    qrels: Qrels,
    *,
    min_gain: float = 0.0,
    slices: Mapping[str, Collection[str]] | None = None,
    others: Mapping[str, Change] | None = None,
    margin: float = MARGIN,
    latency: Latency | None = None,
    max_p95_ms: float | None = None,
) -> Verdict:
    """Compare two pipelines' rankings of held-out queries, and decide.

    `after` are one model's rankings, or those of several of which each query's values are averaged.
    `slices` are the protected ones, name -> queries; `others` are protected too, name -> what
    became of queries of another collection. `latency` is of whole searches after the
    change, in milliseconds, and `max_p95_ms` what its 95th percentile may be. Raises InputError
    where fewer than two queries are judged.
    """
    if len(qrels) < 2:
        raise InputError(f"expected at least two judged queries to compare; got {len(qrels)}")
    runs = [after] if isinstance(after, Mapping) else list(after)
    if not runs:
        raise InputError("expected rankings of at least one trained model; got none")
    measures = parse_measures([PRIMARY, JUDGED])
    old = score(measures, qrels, before)
    new = [score(measures, qrels, run) for run in runs]
    mean = {q: fmean(each[PRIMARY][q] for each in new) for q in qrels}
    deltas = {q: mean[q] - old[PRIMARY][q] for q in qrels}
    low, high = _interval(list(deltas.values()))
    change = Change(old[PRIMARY], mean)
    protected = {name: change.of(queries) for name, queries in (slices or {}).items()}
    found = _slices({**protected, **(others or {})}, margin)
    gain = fmean(deltas.values())
    detectable = least_detectable(list(deltas.values()))
    grounds = [
        *_too_little(low, high, gain, min_gain, detectable),
        *(each for its in found for each in _may_lose(its, margin)),
        *_too_slow(latency, max_p95_ms),
    ]
    reasons, advice = [each[0] for each in grounds], [each[1] for each in grounds]
    return Verdict(
        promote=not reasons,
        measure=PRIMARY,
        before=fmean(old[PRIMARY].values()),
        after=fmean(mean.values()),
        gain=gain,
        low=low,
        high=high,
        p=randomisation_test(list(deltas.values())),
        min_gain=min_gain,
        least_detectable=detectable,
        queries=len(deltas),
        wins=sum(delta > _TIE for delta in deltas.values()),
        losses=sum(delta < -_TIE for delta in deltas.values()),
        runs=len(runs),
        judged_before=fmean(old[JUDGED].values()),
        judged_after=fmean(fmean(each[JUDGED].values()) for each in new),
        slices=found,
        reasons=reasons,
        advice=advice,
        sentence=_sentence(gain, low, high, len(deltas), reasons),
    )


def least_detectable(deltas: Sequence[float]) -> float:
    """Return the mean difference that as many queries would show with a chance of POWER.

    (z(1 − α/2) + z(POWER)) · s / √n, with the spread s of the differences seen (Sakai, Information
    Retrieval Journal 2016, https://doi.org/10.1007/s10791-015-9273-z).
    """
    z = NormalDist().inv_cdf
    return (z(1 - SIGNIFICANCE / 2) + z(POWER)) * stdev(deltas) / math.sqrt(len(deltas))


def query_slices(
    queries: Mapping[str, str], counts: Mapping[str, int] | None = None
) -> dict[str, list[str]]:
    """Return the slices that every collection has: the shorter and the longer queries, by words.

    `counts` tell how often each query was asked: the tenth most frequent are the head.
    """
    lengths = {query: len(text.split()) for query, text in queries.items()}
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


def _slices(changes: Mapping[str, Change], margin: float) -> list[Slice]:
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
            *_interval(its),
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


def _interval(deltas: Sequence[float]) -> tuple[float, float]:
    return bootstrap(deltas, draws=DRAWS, widened=True)


def _too_little(
    low: float, high: float, gain: float, min_gain: float, detectable: float
) -> Iterator[tuple[str, str]]:
    """Yield why the gain does not suffice, and what to try."""
    if low > min_gain:
        return
    between = f"the gain in {PRIMARY} lies between {_signed(low)} and {_signed(high)}"
    if high <= min_gain:
        wanted = f"more than {min_gain:g}" if min_gain else "a gain"
        yield (
            f"{between}: that is not {wanted}",
            "look at the queries that lost: labels that are wrong, negatives that are relevant "
            "(a veto finds them), a template or length that cuts off the answer; or start from a "
            "stronger base",
        )
    else:
        yield (
            f"{between}, which does not rule out {f'{min_gain:g} or less' if min_gain else 'none'}",
            f"judge more queries: these show a gain of {detectable:.3f} four times of five"
            + ("; or train longer, on more queries" if gain > 0 else ""),
        )


def _may_lose(its: Slice, margin: float) -> Iterator[tuple[str, str]]:
    if its.kept is False:
        yield (
            f"{its.name}: of {its.queries} queries a loss of {margin:g} is not ruled out "
            f"({_signed(its.gain)}, {_signed(its.low)} to {_signed(its.high)})",
            f"judge or train on more queries like those of {its.name}",
        )


def _too_slow(latency: Latency | None, most: float | None) -> Iterator[tuple[str, str]]:
    if most is not None and latency is None:
        raise InputError("a bound for the latency needs the latency that was measured")
    if most is not None and latency is not None and latency.p95 > most:
        yield (
            f"95 of 100 searches take up to {latency.p95:.0f} ms, more than the {most:g} allowed",
            "lower the depth, shorten what the model reads, or start from a smaller base",
        )


def _sentence(gain: float, low: float, high: float, queries: int, reasons: Sequence[str]) -> str:
    figures = (
        f"{PRIMARY} {_signed(gain)} on {queries:,} held-out queries, "
        f"95 % interval {_signed(low)} to {_signed(high)}"
    )
    if not reasons:
        return f"better: {figures}"
    return f"not promoted: {'; '.join(reasons)}; {figures}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
