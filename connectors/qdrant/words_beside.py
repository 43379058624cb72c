"""A ranking by words in a companion, which knows neither payloads nor what was deleted since.

So the collection is asked which of the points are there and pass the filter: of its matches, where
they are few, before the ranking, and else of the ranking's points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.qdrant.added import Added
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.requests import PointId, pages
from retrieve_rerank.connectors.qdrant.sending import send

FEW = 1000
"""Matches of a filter that are named one by one."""

MOST = 10_000
"""Points of a ranking that are asked for at most, to find as many as pass the filter."""

_WIDER = 4  # times as many points for each next look


def rank_beside(
    state: State, beside: Added, request: models.QueryRequest
) -> Steps[tuple[list[models.ScoredPoint], tuple[str, ...]]]:
    """Return the best points of `request` that are in the collection and pass its filter.

    It is the request as it would go to the collection, of as many hits as are wanted in all. The
    second value says where some may be missing.
    """
    depth, filter = request.limit or 0, request.filter
    bare = request.model_copy(update={"filter": None, "with_payload": False})
    if filter is not None and (few := (yield from _few(state, filter))) is not None:
        return (yield from _among(beside, bare, few)), ()
    kept: list[models.ScoredPoint] = []
    start, size = 0, depth
    while True:
        some = bare.model_copy(update={"offset": start, "limit": size})
        found = yield from _ask(beside, pages(some, most=beside.limits.query))
        passing = yield from _passing(state, [each.id for each in found], filter)
        kept += [each for each in found if each.id in passing]
        start += size
        if len(kept) >= depth or len(found) < size:
            return kept[:depth], ()
        if start >= MOST:
            break
        size = min(_WIDER * size, MOST - start)
    return kept, (
        f"of the first {start:,} hits by words {len(kept):,} are there and pass the filter; there "
        "may be more",
    )


def _few(state: State, filter: models.Filter) -> Steps[list[PointId] | None]:
    """List the points that pass a filter; None where they are many."""
    arguments = {
        "collection_name": state.collection,
        "scroll_filter": filter,
        "limit": int(min(FEW, state.limits.query)),
        "with_payload": False,
    }
    points, more = yield Call("scroll", arguments)
    return [each.id for each in points] if more is None else None


def _among(
    beside: Added, request: models.QueryRequest, ids: Sequence[PointId]
) -> Steps[list[models.ScoredPoint]]:
    """Rank these points alone."""
    step = int(min(max(1, len(ids)), beside.limits.condition))
    batch: list[models.QueryRequest] = []
    for start in range(0, len(ids), step):
        some: list[Any] = list(ids[start : start + step])
        only = models.Filter(must=[models.HasIdCondition(has_id=some)])
        wanted = request.model_copy(update={"filter": only})
        batch += pages(wanted, most=beside.limits.query)
    found = yield from _ask(beside, batch)
    return sorted(found, key=lambda each: -each.score)[: request.limit]


def _ask(beside: Added, batch: Sequence[models.QueryRequest]) -> Steps[list[models.ScoredPoint]]:
    answers = yield from send(beside.collection, beside.limits, batch)
    return [point for points in answers for point in points]


def _passing(
    state: State, ids: Sequence[PointId], filter: models.Filter | None
) -> Steps[set[PointId]]:
    """Find out which of these points are in the collection and pass the filter."""
    passing: set[PointId] = set()
    step = int(min(max(1, len(ids)), state.limits.query, state.limits.condition))
    for start in range(0, len(ids), step):
        some: list[Any] = list(ids[start : start + step])
        conditions: list[Any] = [models.HasIdCondition(has_id=some), *([filter] if filter else [])]
        arguments = {
            "collection_name": state.collection,
            "scroll_filter": models.Filter(must=conditions),
            "limit": step,
            "with_payload": False,
        }
        points, _ = yield Call("scroll", arguments)
        passing |= {each.id for each in points}
    return passing
