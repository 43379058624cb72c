"""Reranking under a deadline: slice by slice, as many of the first hits as fit into the time."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from retrieve_rerank.base import Reranker, RerankResult, Scorer
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.errors import DeadlineExceededError
from retrieve_rerank.pipeline.work import Work
from retrieve_rerank.types import Hit

FIRST_SLICE = 8
"""Hits scored to learn what one costs."""
LEAST_SLICE = 4
"""Hits; smaller batches cost almost as much."""

_PART = 0.6  # of the time left that a slice may take, so that what follows can correct it
_MARGIN = 1.2  # slices cost more than they did as often as less
_LEARNING_RATE = 0.4
_FORGETTING = 0.9  # where the estimate left no time for a try, it may have been too high


class HitCost:
    """What one hit costs a stage, learned from its slices; threads may share it."""

    def __init__(self) -> None:
        self._hit_s: float | None = None

    def slice(self, left: int, left_s: float) -> int:
        """Say how many of the `left` hits to score next; 0 when there is no time for any."""
        if self._hit_s is None:
            return min(left, FIRST_SLICE)
        cost = self._hit_s * _MARGIN
        if cost * left <= left_s * _PART:
            return left
        least = min(left, LEAST_SLICE)
        if cost * least > left_s:
            self._hit_s *= _FORGETTING
            return 0
        return max(least, min(left, int(left_s * _PART / cost)))

    def learn(self, hits: int, seconds: float) -> None:
        """Take in what a slice cost, of whose hits so many were scored anew."""
        if not hits:
            return
        found = seconds / hits
        known = self._hit_s
        self._hit_s = found if known is None else known + _LEARNING_RATE * (found - known)

    def learn_least(self, hits: int, seconds: float) -> None:
        """Take in that a slice was cut off after so long: a hit costs at least its share."""
        self._hit_s = max(self._hit_s or 0.0, seconds / hits)


def rerank_within(
    deadline: Deadline, reranker: Reranker, query: str, hits: Sequence[Hit], cost: HitCost
) -> Generator[Work, Any, RerankResult]:
    """Rerank all hits; a pointwise reranker under a deadline, as many of the first as fit into it.

    Raises DeadlineExceededError where not even one slice did.
    """
    if deadline.left_s is None or not (isinstance(reranker, Scorer) and reranker.pointwise):
        whole: RerankResult = yield _reranking(reranker, query, hits)
        return whole
    slices: list[RerankResult] = []
    done = 0
    while done < len(hits) and (count := cost.slice(len(hits) - done, deadline.left_s or 0.0)):
        started = time.perf_counter()
        try:
            found: RerankResult = yield _reranking(reranker, query, hits[done : done + count])
        except DeadlineExceededError:
            if deadline.over:
                cost.learn_least(count, time.perf_counter() - started)
            if not (slices and deadline.over):
                raise
            break
        cost.learn(count - found.cache_hits, time.perf_counter() - started)
        slices.append(found)
        done += count
    if not slices:
        raise deadline.exceeded()
    # Stable, so that equal scores keep the incoming order, as they do within each slice.
    scored = sorted((hit for each in slices for hit in each), key=lambda hit: -hit.score)
    return RerankResult(
        [replace(hit, rank=place) for place, hit in enumerate(scored, start=1)],
        sum(each.truncated for each in slices),
        sum(each.cache_hits for each in slices),
        tuple(dict.fromkeys(note for each in slices for note in each.notes)),
        any(each.query_truncated for each in slices),
    )


def _reranking(reranker: Reranker, query: str, hits: Sequence[Hit]) -> Work:
    return Work(lambda: reranker.rerank(query, hits), lambda: reranker.arerank(query, hits))
