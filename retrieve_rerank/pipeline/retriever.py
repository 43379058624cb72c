"""The pipeline: over-fetch from a connector, then stages, each reranking the best of the last."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator
from dataclasses import replace
from typing import Any, Literal, Self

from retrieve_rerank.base import Connector, Filter, Reranker, TensorConnector
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.steps import adrive, drive
from retrieve_rerank.errors import (
    ConnectorError,
    DeadlineExceededError,
    InputError,
    NotPicklableError,
)
from retrieve_rerank.pipeline.cascade import Cascade, deadline_of, notes, scoring_ms
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.pipeline.work import Work, awaited
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.types import Candidates, Hit, SearchResult, StageReport, without

FIRST_STAGE = "first-stage"
"""What reports call the connector's own search."""

USER_UNREAD = "what is known of the user was read by no stage: no model here was trained to read it"


class Retriever:
    """Search in stages: `candidates` from the connector, each stage reordering what it is given.

    `top_k` and `deadline_s` are for searches that set none themselves.

    A stage that fails or runs out of time leaves the incoming order, and the result says so.
    Safe to share between threads and tasks. Closing it closes the connector.
    """

    def __init__(
        self,
        connector: Connector,
        *stages: Reranker | Stage,
        candidates: int = 100,
        top_k: int = 10,
        deadline_s: float | None = None,
    ) -> None:
        if candidates < 1:
            raise InputError(f"candidates must be at least 1; got {candidates}")
        deadline_of(deadline_s)
        self.connector = connector
        self._cascade = Cascade(*stages)
        self.stages = self._cascade.stages
        self.candidates = candidates
        self.top_k = top_k
        self.deadline_s = deadline_s

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        filter: Filter | None = None,
        deadline_s: float | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        exclude: Collection[str] = (),
        user: str | None = None,
    ) -> SearchResult:
        """Return the best `top_k` hits for `query`.

        `deadline_s` bounds the whole search in seconds: stages that cannot finish are given up,
        and only a first stage that does not answer raises DeadlineExceededError. With
        `on_error="raise"` the first failing stage raises. `exclude` names documents to leave
        out, with their passages; others are fetched in their place. `user` is what is known of
        who asks (a profile, past clicks), for models that were trained to read it.
        """
        deadline = deadline_of(self.deadline_s if deadline_s is None else deadline_s)
        steps = self._steps(query, top_k, filter, deadline, on_error, exclude, user)
        return drive(steps, lambda work: self._cascade.run(work, deadline))

    async def asearch(
        self,
        query: str,
        *,
        top_k: int | None = None,
        filter: Filter | None = None,
        deadline_s: float | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        exclude: Collection[str] = (),
        user: str | None = None,
    ) -> SearchResult:
        """Async twin of `search`."""
        deadline = deadline_of(self.deadline_s if deadline_s is None else deadline_s)
        steps = self._steps(query, top_k, filter, deadline, on_error, exclude, user)
        return await adrive(steps, lambda work: awaited(work, deadline))

    def __getstate__(self) -> object:
        raise NotPicklableError(self)

    def __repr__(self) -> str:
        parts = [type(self.connector).__name__, *(s.reranker.name for s in self.stages)]
        return f"{type(self).__name__}({', '.join(parts)})"

    def close(self) -> None:
        """Close the connector."""
        self.connector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _steps(
        self,
        query: str,
        top_k: int | None,
        filter: Filter | None,
        deadline: Deadline,
        on_error: Literal["degrade", "raise"],
        exclude: Collection[str],
        user: str | None,
    ) -> Generator[Work, Any, SearchResult]:
        if not query.strip():
            raise InputError("the query is empty; expected text to search for")
        if top_k is None:
            top_k = self.top_k
        if top_k < 1:
            raise InputError(f"top_k must be at least 1; got {top_k}")
        if isinstance(exclude, str):
            raise InputError(f"expected ids to exclude; got {exclude!r}")
        reports: list[StageReport] = []
        hits, database_scores = yield from self._first_stage(
            query, top_k, filter, deadline, reports, exclude
        )
        asked = self._asked(query, user)
        if user and all(each == query for each in asked):
            reports[0] = replace(reports[0], notes=(*reports[0].notes, USER_UNREAD))

        reports += yield from self._cascade.steps(
            asked, hits, deadline, on_error, in_database=database_scores
        )
        return SearchResult(query, reports[-1].hits[:top_k], reports)

    def _first_stage(
        self,
        query: str,
        top_k: int,
        filter: Filter | None,
        deadline: Deadline,
        reports: list[StageReport],
        exclude: Collection[str],
    ) -> Generator[Work, Any, tuple[list[Hit], dict[str, float] | Exception | None]]:
        """Fetch candidates, and with them the MaxSim scores where the database has them."""
        started = time.perf_counter()
        wanted = max(top_k, self.candidates)
        asked = wanted + len(exclude)
        hits, scores = yield from self._fetch(query, asked, filter, deadline)
        # What is excluded may have any number of passages.
        while exclude and len(hits) >= asked and len(without(hits, exclude)) < wanted:
            asked *= 2
            try:
                hits, scores = yield from self._fetch(query, asked, filter, deadline)
            except DeadlineExceededError:
                break  # with those that there are
        ms = (time.perf_counter() - started) * 1000
        if scores is not None and not isinstance(scores, Exception):
            ms -= scoring_ms(scores)  # the stage's, though it was computed here
        told = hits if isinstance(hits, Candidates) else Candidates()
        if exclude:
            hits = without(hits, exclude)[:wanted]
        reports.append(
            StageReport(
                FIRST_STAGE,
                ms,
                candidates=len(hits),
                scored=len(hits),
                notes=notes(told),
                hits=hits,
                query_truncated=told.query_truncated,
            )
        )
        return hits, scores

    def _fetch(
        self, query: str, top_k: int, filter: Filter | None, deadline: Deadline
    ) -> Generator[Work, Any, tuple[list[Hit], dict[str, float] | Exception | None]]:
        scores: dict[str, float] | Exception | None = None
        tensors = self._tensor_connector()
        if tensors is not None:
            try:
                hits, scores = yield Work(
                    lambda: tensors.search_max_sim(
                        query, top_k=top_k, filter=filter, timeout_s=deadline.left_s
                    ),
                    lambda: tensors.asearch_max_sim(
                        query, top_k=top_k, filter=filter, timeout_s=deadline.left_s
                    ),
                )
                return hits, scores
            except ConnectorError as exc:
                scores = exc  # without the tensors the search may still work
        hits = yield Work(
            lambda: self.connector.search(
                query, top_k=top_k, filter=filter, timeout_s=deadline.left_s
            ),
            lambda: self.connector.asearch(
                query, top_k=top_k, filter=filter, timeout_s=deadline.left_s
            ),
        )
        return hits, scores

    def _asked(self, query: str, user: str | None) -> list[str]:
        """Return what each stage reads of the query where this user asks it."""
        if not user:
            return [query] * len(self.stages)
        if not isinstance(user, str):
            raise InputError(f"expected a text as user; got {user!r:.60}")
        return [stage.reranker.for_user(query, user) for stage in self.stages]

    def _tensor_connector(self) -> TensorConnector | None:
        """The connector, where its database computes what the first stage of ours wants."""
        if not self.stages:
            return None
        first = self.stages[0].reranker
        if isinstance(first, DatabaseMaxSim) and first.connector is self.connector:
            return first.connector
        return None
