"""Whether a trained model is promoted: it must be better on held-out queries, not only luckier.

The primary measure is nDCG@10, query by query, against today's pipeline with weight and depth tuned
on the same dev queries. A model is promoted where the lower end of the 95 % interval of the mean
difference exceeds the least gain wanted, it is no worse than today's pipeline as it is (which may
do better than what was chosen on a few dev queries), no protected slice may have lost much, and
searches stay fast enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.compare import SIGNIFICANCE, randomisation_test
from retrieve_rerank.evaluation.evaluate import Latency
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.training.slices import MARGIN, Change, Slice, interval, measure_slices
from retrieve_rerank.training.tuning import JUDGED, PRIMARY
from retrieve_rerank.types import Qrels

POWER = 0.8
"""Chance of showing the least detectable gain, if there is one of that size."""

_TIE = 1e-9  # differences below it come from rounding
_TENSORS = "train what max-sim compares (rr tensors train --trainable encoder)"


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
    over_served: Slice | None
    """What became of all queries against the pipeline as it serves, where `before` is another."""
    failed: int
    """Queries on which one of the pipelines failed."""
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
    served: Rankings | None = None,
    min_gain: float = 0.0,
    slices: Mapping[str, Collection[str]] | None = None,
    others: Mapping[str, Change] | None = None,
    margin: float = MARGIN,
    latency: Latency | None = None,
    max_p95_ms: float | None = None,
    failures: Mapping[str, Mapping[str, str]] | None = None,
) -> Verdict:
    """Compare two pipelines' rankings of held-out queries, and decide.

    `after` are one model's rankings, or those of several of which each query's values are averaged.
    `served` are those of the pipeline as it serves, where `before` is that pipeline re-tuned.
    `slices` are the protected ones, name -> queries; `others` are protected too, name -> what
    became of queries of another collection. `latency` is of whole searches after the
    change, in milliseconds, and `max_p95_ms` what its 95th percentile may be. `failures` are the
    queries on which a pipeline failed, pipeline -> query -> error: a failure on either side decides
    against promotion, as what was compared is not what is meant to serve. Raises InputError where
    fewer than two queries are judged.
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
    low, high = interval(list(deltas.values()))
    change = Change(old[PRIMARY], mean)
    protected = {name: change.of(queries) for name, queries in (slices or {}).items()}
    found = measure_slices({**protected, **(others or {})}, margin)
    over_served = None
    if served is not None:
        today = Change(score(measures, qrels, served)[PRIMARY], mean)
        [over_served] = measure_slices({"all, against today as it is": today}, margin)
    gain = fmean(deltas.values())
    detectable = least_detectable(list(deltas.values()))
    grounds = [
        *(each for name, errors in (failures or {}).items() for each in _failed(name, errors)),
        *_too_little(low, high, gain, min_gain, detectable),
        *_worse_than_served(over_served),
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
        over_served=over_served,
        failed=len({query for errors in (failures or {}).values() for query in errors}),
        reasons=reasons,
        advice=advice,
        sentence=_sentence(gain, low, high, len(deltas), over_served, reasons),
    )


def least_detectable(deltas: Sequence[float]) -> float:
    """Return the mean difference that as many queries would show with a chance of POWER.

    (z(1 − α/2) + z(POWER)) · s / √n, with the spread s of the differences seen (Sakai, Information
    Retrieval Journal 2016, https://doi.org/10.1007/s10791-015-9273-z).
    """
    z = NormalDist().inv_cdf
    return (z(1 - SIGNIFICANCE / 2) + z(POWER)) * stdev(deltas) / math.sqrt(len(deltas))


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
            f"stronger base; or {_TENSORS}",
        )
    else:
        yield (
            f"{between}, which does not rule out {f'{min_gain:g} or less' if min_gain else 'none'}",
            f"judge more queries: these show a gain of {detectable:.3f} four times of five"
            + ("; or train longer, on more queries" if gain > 0 else ""),
        )


def _worse_than_served(its: Slice | None) -> Iterator[tuple[str, str]]:
    if its is not None and its.gain < -_TIE:
        yield (
            f"today's pipeline as it is does better ({_signed(its.gain)})",
            "judge more dev queries: the depth and weight chosen on these are worse than today's",
        )


def _failed(pipeline: str, errors: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if errors:
        yield (
            f"{pipeline}: {len(errors):,} of the queries failed, such as with:"
            f" {next(iter(errors.values())).rstrip('.')}",
            "mend what failed, or give searches more time; the same command then measures again",
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
            "shorten what the model reads, or start from a smaller base; or "
            f"{_TENSORS}, which costs a search milliseconds",
        )


def _sentence(
    gain: float,
    low: float,
    high: float,
    queries: int,
    over_served: Slice | None,
    reasons: Sequence[str],
) -> str:
    figures = (
        f"{PRIMARY} {_signed(gain)} on {queries:,} held-out queries, "
        f"95 % interval {_signed(low)} to {_signed(high)}"
    )
    if over_served is not None:
        figures += (
            f"; against today's pipeline as it is {_signed(over_served.gain)}, "
            f"{_signed(over_served.low)} to {_signed(over_served.high)}"
        )
    if not reasons:
        return f"better: {figures}"
    return f"not promoted: {'; '.join(reasons)}; {figures}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
