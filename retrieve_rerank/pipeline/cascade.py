"""Stages in a row, each reranking the best of the last, over hits of any origin."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

from retrieve_rerank.base import MaxSimScores, Reranker, RerankResult, Scorer
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.steps import adrive, drive
from retrieve_rerank.concurrency.threads import Threads
from retrieve_rerank.errors import InputError, NotPicklableError, RetrieveRerankError
from retrieve_rerank.pipeline.slices import HitCost, rerank_within
from retrieve_rerank.pipeline.stage import Stage, place
from retrieve_rerank.pipeline.work import Work, awaited
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.text.truncation import QUERY_TRUNCATED
from retrieve_rerank.types import Candidates, Hit, SearchResult, StageReport

Steps = Generator[Work, Any, list[StageReport]]


class Cascade:
    """Rerank hits in stages.

    A stage that fails or runs out of time leaves the incoming order, and the result says so.
    Safe to share between threads and tasks.
    """

    def __init__(self, *stages: Reranker | Stage) -> None:
        self.stages = tuple(s if isinstance(s, Stage) else Stage(s) for s in stages)
        self._costs = [HitCost() for _ in self.stages]
        self._threads = Threads()

    def rerank(
        self,
        query: str,
        hits: Sequence[Hit],
        *,
        top_k: int | None = None,
        deadline_s: float | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
    ) -> SearchResult:
        """Return the best `top_k` of these hits, all of them where None, as `Retriever.search`
        does of those that it has found."""
        deadline = deadline_of(deadline_s)
        steps = self._ranked(query, hits, top_k, deadline, on_error)
        return drive(steps, lambda work: self.run(work, deadline))

    async def arerank(
        self,
        query: str,
        hits: Sequence[Hit],
        *,
        top_k: int | None = None,
        deadline_s: float | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
    ) -> SearchResult:
        """Async twin of `rerank`."""
        deadline = deadline_of(deadline_s)
        steps = self._ranked(query, hits, top_k, deadline, on_error)
        return await adrive(steps, lambda work: awaited(work, deadline))

    def steps(
        self,
        asked: Sequence[str],
        hits: Sequence[Hit],
        deadline: Deadline,
        on_error: Literal["degrade", "raise"],
        *,
        in_database: Mapping[str, float] | Exception | None = None,
    ) -> Steps:
        """Report each stage, the last one's hits being the answer; `asked` is what each reads.

        `in_database` are the MaxSim scores that came with the hits, for a first stage that wants
        them, or why there are none.
        """
        reports: list[StageReport] = []
        ranked = list(hits)
        for position, stage in enumerate(self.stages):
            started = time.perf_counter()
            head, error = ranked[: stage.depth], None
            scores = in_database if position == 0 else None
            reranked = RerankResult([])
            try:
                if deadline.over:
                    raise deadline.exceeded()
                if isinstance(scores, Exception):
                    raise scores
                if scores is not None and isinstance(stage.reranker, DatabaseMaxSim):
                    started -= scoring_ms(scores) / 1000
                    reranked = stage.reranker.by_scores(scores, head)
                elif head:
                    reranked = yield from rerank_within(
                        deadline, stage.reranker, asked[position], head, self._costs[position]
                    )
                    if isinstance(stage.reranker, Scorer) and len(reranked) < len(head):
                        error = f"scored {len(reranked)} of {len(head)}: {deadline.exceeded()}"
                ranked = place(stage, reranked.hits, ranked)
            except Exception as exc:
                if on_error == "raise":
                    raise
                reranked, error = RerankResult([]), _explain(exc)
            reports.append(
                StageReport(
                    name=stage.reranker.name,
                    ms=(time.perf_counter() - started) * 1000,
                    candidates=len(head),
                    scored=len(reranked),
                    truncated=reranked.truncated,
                    cache_hits=reranked.cache_hits,
                    error=error,
                    notes=notes(reranked),
                    hits=ranked,
                    query_truncated=reranked.query_truncated,
                )
            )
        return reports

    def run(self, work: Work, deadline: Deadline) -> Any:
        """Do a piece of work here, within the deadline."""
        return self._threads.run(work.here, deadline)

    def __getstate__(self) -> object:
        raise NotPicklableError(self)

    def _ranked(
        self,
        query: str,
        hits: Sequence[Hit],
        top_k: int | None,
        deadline: Deadline,
        on_error: Literal["degrade", "raise"],
    ) -> Generator[Work, Any, SearchResult]:
        if not query.strip():
            raise InputError("the query is empty; expected text to rerank for")
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k must be at least 1; got {top_k}")
        reports = yield from self.steps([query] * len(self.stages), hits, deadline, on_error)
        ranked = reports[-1].hits if reports else list(hits)
        return SearchResult(query, ranked[:top_k], reports)


def deadline_of(seconds: float | None) -> Deadline:
    """Begin a deadline; raise InputError for one that is over, or has no end."""
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"deadline_s must be above 0, and finite; got {seconds}")
    return Deadline(seconds)


def notes(told: Candidates | RerankResult) -> tuple[str, ...]:
    """Return what a report says of it."""
    return (*told.notes, QUERY_TRUNCATED) if told.query_truncated else tuple(told.notes)


def scoring_ms(scores: Mapping[str, float]) -> float:
    """Return what the database took for MaxSim scores, in milliseconds, as far as it is known."""
    return scores.ms if isinstance(scores, MaxSimScores) else 0.0


def _explain(exc: Exception) -> str:
    if isinstance(exc, RetrieveRerankError):
        return str(exc)
    return f"{type(exc).__name__}: {exc}"
