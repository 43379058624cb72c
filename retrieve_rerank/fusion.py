"""Rankings in, one ranking out: the same arithmetic for every backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from retrieve_rerank.errors import InputError
from retrieve_rerank.types import Document, Hit, Placement, rank, rescore

RRF_K = 60
"""Cormack, Clarke and Büttcher, SIGIR 2009, https://doi.org/10.1145/1571941.1572114."""

MOST_DEVIATIONS = 3.0
"""How far above the mean a hit of an exhausted ranking may stand, in deviations: the only hit
among 100 candidates would stand 10. Chosen in docs/benchmarks/recipe.md."""

SET_APART = 4.0
"""Deviations above the mean that among 100 candidates at most five hits can have together."""


def rrf(
    rankings: Mapping[str, Sequence[Hit]],
    *,
    k: int = RRF_K,
    weights: Mapping[str, float] | None = None,
    top_k: int | None = None,
) -> list[Hit]:
    """Fuse by reciprocal rank: a document's score is the sum of weight / (k + rank).

    Rankings without a weight count 1. Documents with equal scores keep the order in which the
    rankings, taken in turn, first name them.
    """
    return _fuse(
        _each_once(rankings),
        lambda name, hit: _weight(weights, name) / (k + hit.rank),
        absent={},
        top_k=top_k,
    )


def weighted(
    rankings: Mapping[str, Sequence[Hit]],
    *,
    weights: Mapping[str, float] | None = None,
    exhausted: Collection[str] = (),
    top_k: int | None = None,
) -> list[Hit]:
    """Fuse by the weighted sum of each ranking's standardised scores (mean 0, deviation 1).

    `exhausted` names rankings that hold every document with a score above 0, as a lexical one
    with fewer hits than were asked for: in these a document that is not there has the score 0,
    and they are standardised over all that is fused, to at most MOST_DEVIATIONS. In
    another ranking such a document counts as the last. Rankings without a weight count 1.
    """
    rankings = _each_once(rankings)
    fused = dict.fromkeys(hit.document.id for hits in rankings.values() for hit in hits)
    standard: dict[str, dict[str, float]] = {}
    absent: dict[str, float] = {}
    for name, hits in rankings.items():
        scores = dict.fromkeys(fused, 0.0) if name in exhausted else {}
        scores |= {hit.document.id: hit.score for hit in hits}
        values = standardise(list(scores.values()))
        if name in exhausted:
            values = [min(value, MOST_DEVIATIONS) for value in values]
        standard[name] = dict(zip(scores, values, strict=True))
        if values:
            absent[name] = _weight(weights, name) * min(values)
    return _fuse(
        rankings,
        lambda name, hit: _weight(weights, name) * standard[name][hit.document.id],
        absent=absent,
        top_k=top_k,
    )


def interpolate(hits: Sequence[Hit], *, name: str, weight: float) -> list[Hit]:
    """Mix a stage's scores with those it was given: weight · z(new) + (1 − weight) · z(previous).

    z standardises over `hits` (mean 0, deviation 1), each of which must have a `previous`. A hit
    that was more than SET_APART deviations above the others counts as the stage's average at
    least: an exact match on a code, say, in a part of the text that the stage's model cannot read.
    Where the stage itself had put a hit stays in the hit's `sources` under `name`.
    """
    if not 0.0 <= weight <= 1.0:
        raise InputError(f"weight must lie between 0 and 1; got {weight}")
    pairs = [(hit, hit.previous) for hit in hits if hit.previous is not None]
    if len(pairs) != len(hits):
        raise InputError("interpolation needs reranked hits; got some without a previous score")
    pairs.sort(key=lambda pair: pair[1].rank)
    new = standardise([hit.score for hit, _ in pairs])
    old = standardise(descending([before.score for _, before in pairs]))
    new = [max(n, 0.0) if o > SET_APART else n for n, o in zip(new, old, strict=True)]
    mixed = [weight * n + (1 - weight) * o for n, o in zip(new, old, strict=True)]
    # By the hits they were, as two may have one id.
    placed = {id(before): Placement(hit.rank, hit.score) for hit, before in pairs}
    return [
        replace(hit, sources={**hit.sources, name: placed[id(hit.previous)]})
        for hit in rescore([before for _, before in pairs], mixed)
    ]


def descending(scores: Sequence[float]) -> list[float]:
    """Make a ranking's scores, best hit first, fall with the rank.

    Hits that a stage did not score stand below those it did, with scores on another scale: where
    a hit has more than the one above, it and all behind it are moved down by the difference.
    """
    fallen: list[float] = []
    down = 0.0
    for score in scores:
        if fallen and score - down > fallen[-1]:
            down = score - fallen[-1]
        fallen.append(score - down)
    return fallen


def standardise(scores: Sequence[float]) -> list[float]:
    """Shift to mean 0 and scale to standard deviation 1; all zeros where all are equal."""
    if not scores:
        return []
    mean = fmean(scores)
    deviation = math.sqrt(fmean((score - mean) ** 2 for score in scores))
    # Below this the scores differ by rounding alone, and scaling would blow that up to signal.
    if deviation <= 1e-9 * max(1.0, abs(mean)):
        return [0.0] * len(scores)
    return [(score - mean) / deviation for score in scores]


def _weight(weights: Mapping[str, float] | None, name: str) -> float:
    return 1.0 if weights is None else weights.get(name, 1.0)


def _each_once(rankings: Mapping[str, Sequence[Hit]]) -> dict[str, list[Hit]]:
    """Leave of several hits with one id the best."""
    once: dict[str, list[Hit]] = {}
    for name, hits in rankings.items():
        best: dict[str, Hit] = {}
        for hit in hits:
            best.setdefault(hit.document.id, hit)
        once[name] = list(best.values())
    return once


def _fuse(
    rankings: Mapping[str, Sequence[Hit]],
    worth: Callable[[str, Hit], float],
    *,
    absent: Mapping[str, float],
    top_k: int | None,
) -> list[Hit]:
    documents: dict[str, Document] = {}
    sources: dict[str, dict[str, Placement]] = {}
    worths: dict[str, dict[str, float]] = {}
    for name, hits in rankings.items():
        for hit in hits:
            documents.setdefault(hit.document.id, hit.document)
            sources.setdefault(hit.document.id, {})[name] = Placement(hit.rank, hit.score)
            worths.setdefault(hit.document.id, dict(absent))[name] = worth(name, hit)
    scored = ((document, math.fsum(worths[id_].values())) for id_, document in documents.items())
    return rank(scored, top_k=top_k, sources=sources)
