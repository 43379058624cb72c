"""Which settings of approximate search are worth measuring, and what one search has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

from retrieve_rerank.base import OVERSAMPLE, Knob, Vectors, VectorSearch

TIE = 1e-6
"""Similarities nearer than this count as equal: float32 sums in another order differ so much."""

_PILOT_QUERIES = 20

Neighbours: TypeAlias = Sequence[tuple[str, float]]
"""(document id, similarity), best first."""

Setting: TypeAlias = tuple[tuple[str, float], ...]
"""Knobs with their values, hashable."""


def walk(knobs: Sequence[Knob]) -> Knob | None:
    """Return the knob that widens the walk of the graph; None where no graph is walked."""
    return knobs[0] if knobs and knobs[0].name != OVERSAMPLE else None


def widths(knob: Knob, top_k: int) -> list[float]:
    """List how wide a walk is worth trying for `top_k`, narrowest first.

    One that keeps fewer candidates than hits are wanted makes no sense, and no difference.
    """
    return sorted({float(top_k), *(value for value in knob.values if value >= top_k)})


def grid(knobs: Sequence[Knob]) -> dict[Setting, bool]:
    """Combine the knobs' values, and what searches use now -> whether that is it."""
    axes: list[list[float | None]] = []
    for knob in knobs:
        values = sorted({*knob.values, *([knob.default] if knob.default is not None else [])})
        axes.append([*([None] if knob.default is None else []), *values])
    names = [knob.name for knob in knobs]
    defaults = tuple(knob.default for knob in knobs)
    return {
        tuple(
            (name, value) for name, value in zip(names, values, strict=True) if value is not None
        ): values == defaults
        for values in product(*axes)
    }


def recall(found: Sequence[str], exact: Neighbours, top_k: int) -> float:
    """Tell which share of the true nearest `top_k` are among the hits.

    Whatever is as near as the last of them counts as well: which of several equals an exact
    search names is chance. `exact` reaches deeper than `top_k` for that.
    """
    wanted = min(top_k, len(exact))
    if not wanted:
        return 1.0
    farthest = exact[wanted - 1][1] - TIE
    right = {id_ for id_, similarity in exact if similarity >= farthest}
    return min(1.0, sum(id_ in right for id_ in found[:top_k]) / wanted)


class Truth(NamedTuple):
    """The true neighbours of a query."""

    neighbours: Neighbours
    left_out: frozenset[str] = frozenset()
    """Found as well, but not to be counted: the query itself, among the documents."""

    def nearest(
        self,
        connector: VectorSearch,
        vector: Vectors,
        *,
        top_k: int,
        settings: Mapping[str, float],
    ) -> list[str]:
        """Search for as many neighbours that count; return their ids, best first."""
        hits = connector.nearest(vector, top_k=top_k + len(self.left_out), settings=settings)
        return [id_ for id_, _ in hits if id_ not in self.left_out][:top_k]


def narrowed(
    connector: VectorSearch,
    knobs: Sequence[Knob],
    vectors: Vectors,
    exact: Sequence[Truth],
    top_k: int,
) -> list[Knob]:
    """Return the knobs, without walks wider than one more than the first that misses nothing.

    Tells from a few queries, which also fill the caches.
    """
    if walk(knobs) is None:
        return list(knobs)
    width, *rest = knobs
    generous = {knob.name: max(knob.values) for knob in rest}
    tried: list[float] = []
    perfect = 0
    for value in widths(width, top_k):
        tried.append(value)
        found = [
            truth.nearest(connector, vector, top_k=top_k, settings={width.name: value, **generous})
            for vector, truth in zip(vectors[:_PILOT_QUERIES], exact, strict=False)
        ]
        perfect += all(
            recall(ids, truth.neighbours, top_k) == 1
            for ids, truth in zip(found, exact, strict=False)
        )
        if perfect == 2:
            break
    return [width._replace(values=tried), *rest]
