"""Haystack: a Retriever and rerankers as components of pipelines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from os import PathLike, fspath
from threading import Lock
from typing import Any, Literal, Self, get_type_hints

from retrieve_rerank.errors import InputError, MissingExtraError

try:
    from haystack import Document, component, default_from_dict
except ModuleNotFoundError as exc:
    raise MissingExtraError("retrieve_rerank.haystack", "haystack") from exc

from retrieve_rerank import types
from retrieve_rerank.adapting import as_hits, cascade_of, first, log, provenance, report_of
from retrieve_rerank.base import Reranker
from retrieve_rerank.connecting import open_retriever
from retrieve_rerank.foreign_filters import from_haystack
from retrieve_rerank.haystack.files import resolved, with_secrets, written
from retrieve_rerank.pipeline.cascade import Cascade
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.shortcuts import IndexKeywords
from retrieve_rerank.types import Hit, SearchResult

logger = logging.getLogger(__name__)

_WARM_UP = "what is this about"


@component
class RetrieveRerankRetriever:
    """Search in stages from a pipeline.

    Documents have their new score; their meta gains `relevance_score` (the same),
    `first_stage_rank` (from 1) and `first_stage_score`.
    """

    def __init__(
        self,
        index: str | PathLike[str] | Retriever | None = None,
        *,
        top_k: int | None = None,
        filters: Mapping[str, Any] | None = None,
        deadline_s: float | None = None,
        user: str | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        **settings: Any,
    ) -> None:
        """Name an index as for `retrieve_rerank.connect`, whose settings can be given, too.

        It is opened by `warm_up`, or by the first run. Secrets are given as a `Secret`; only those
        of environment variables can be written by `to_dict`. `filters` are Haystack's or ours.
        `user` is what is known of who asks, for models that were trained to read it. A Retriever
        is used as it is, and closed by its owner.
        """
        if unknown := settings.keys() - get_type_hints(IndexKeywords).keys():
            raise InputError(f"RetrieveRerankRetriever: unknown setting {min(unknown)}")
        if isinstance(index, Retriever) and settings:
            raise InputError(f"{min(settings)}: the given Retriever has its own; leave it out")
        self.index = index
        self.top_k = top_k
        self.filters = filters
        self.deadline_s = deadline_s
        self.user = user
        self.on_error = on_error
        self.settings = with_secrets(settings)
        self._retriever = index if isinstance(index, Retriever) else None
        self._opening = Lock()

    def to_dict(self) -> dict[str, Any]:
        """Write it for a pipeline's file; raise InputError for a secret that it would hold."""
        index = fspath(self.index) if isinstance(self.index, PathLike) else self.index
        return written(
            self,
            index=index,
            top_k=self.top_k,
            filters=self.filters,
            deadline_s=self.deadline_s,
            user=self.user,
            on_error=self.on_error,
            **self.settings,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make it from what `to_dict` wrote."""
        made: Self = default_from_dict(cls, data)
        return made

    def warm_up(self) -> None:
        """Open the index and load its models, by a first search; raise as `connect` does."""
        if self._retriever is None:
            self._opened().search(_WARM_UP)

    async def warm_up_async(self) -> None:
        """Async twin of `warm_up`, in a thread."""
        await asyncio.to_thread(self.warm_up)

    def close(self) -> None:
        """Close the index, if it was opened here; a later run opens it anew."""
        with self._opening:
            if self._retriever is not None and self._retriever is not self.index:
                self._retriever.close()
                self._retriever = None

    @component.output_types(documents=list[Document], degraded=bool, report=dict[str, Any])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        deadline_s: float | None = None,
        user: str | None = None,
    ) -> dict[str, Any]:
        """Return documents, best first, whether a stage failed, and what each stage did.

        What is None is as the component was told.
        """
        wanted = self._wanted(filters, top_k, deadline_s, user)
        return _found(self._opened().search(query, **wanted))

    @component.output_types(documents=list[Document], degraded=bool, report=dict[str, Any])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        deadline_s: float | None = None,
        user: str | None = None,
    ) -> dict[str, Any]:
        """Async twin of `run`."""
        wanted = self._wanted(filters, top_k, deadline_s, user)
        return _found(await (await asyncio.to_thread(self._opened)).asearch(query, **wanted))

    def _opened(self) -> Retriever:
        with self._opening:
            if self._retriever is None:
                settings = {name: resolved(value) for name, value in self.settings.items()}
                self._retriever = open_retriever(self.index, settings, caller=type(self).__name__)
            return self._retriever

    def _wanted(
        self,
        filters: Mapping[str, Any] | None,
        top_k: int | None,
        deadline_s: float | None,
        user: str | None,
    ) -> dict[str, Any]:
        given = first(filters, self.filters)
        return {
            "top_k": first(top_k, self.top_k),
            "filter": None if given is None else from_haystack(given),
            "deadline_s": first(deadline_s, self.deadline_s),
            "user": first(user, self.user),
            "on_error": self.on_error,
        }


@component
class RetrieveRerankRanker:
    """Rerank a pipeline's documents by any reranker, see `retrieve_rerank.rerank`.

    The documents given stay as they are: what is returned are copies with the new score, whose
    meta gains what `RetrieveRerankRetriever` says. A document that comes twice is returned once.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        reranker: Reranker | Stage | str | None = None,
        top_k: int | None = None,
        deadline_s: float | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        **options: Any,
    ) -> None:
        """Name a model; without one and a reranker, it is MaxSim with the bundled encoder.

        It is loaded by `warm_up`, or by the first run. `options` are the reranker's own, such as
        `prompt`; a service's `key` is given as a `Secret`, else read from its usual variable.
        """
        self.model = model
        self.reranker = reranker
        self.top_k = top_k
        self.deadline_s = deadline_s
        self.on_error = on_error
        self.options = with_secrets(options)
        self._cascade: Cascade | None = None
        self._loading = Lock()

    def to_dict(self) -> dict[str, Any]:
        """Write it for a pipeline's file; raise InputError for a secret that it would hold."""
        return written(
            self,
            model=self.model,
            reranker=self.reranker,
            top_k=self.top_k,
            deadline_s=self.deadline_s,
            on_error=self.on_error,
            **self.options,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make it from what `to_dict` wrote."""
        made: Self = default_from_dict(cls, data)
        return made

    def warm_up(self) -> None:
        """Load the model, by a first text; raise ConfigError, InputError or ModelError."""
        if self._cascade is None:
            self._loaded().rerank(_WARM_UP, as_hits([(types.Document("0", _WARM_UP), None)]))

    async def warm_up_async(self) -> None:
        """Async twin of `warm_up`, in a thread."""
        await asyncio.to_thread(self.warm_up)

    @component.output_types(documents=list[Document], degraded=bool, report=dict[str, Any])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        deadline_s: float | None = None,
    ) -> dict[str, Any]:
        """Return the best `top_k` documents, else all, and the rest as the retriever does."""
        if not documents:
            return _answer([], SearchResult(query, []))
        result = self._loaded().rerank(
            query,
            _hits(documents),
            top_k=first(top_k, self.top_k),
            deadline_s=first(deadline_s, self.deadline_s),
            on_error=self.on_error,
        )
        return _reranked(result, documents)

    @component.output_types(documents=list[Document], degraded=bool, report=dict[str, Any])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        deadline_s: float | None = None,
    ) -> dict[str, Any]:
        """Async twin of `run`."""
        if not documents:
            return _answer([], SearchResult(query, []))
        cascade = await asyncio.to_thread(self._loaded)
        result = await cascade.arerank(
            query,
            _hits(documents),
            top_k=first(top_k, self.top_k),
            deadline_s=first(deadline_s, self.deadline_s),
            on_error=self.on_error,
        )
        return _reranked(result, documents)

    def _loaded(self) -> Cascade:
        with self._loading:
            if self._cascade is None:
                options = {name: resolved(value) for name, value in self.options.items()}
                self._cascade = cascade_of(self.reranker, self.model, options)
            return self._cascade


def _found(result: SearchResult) -> dict[str, Any]:
    documents = [
        Document(
            id=hit.document.id,
            content=hit.document.text,
            meta={**hit.document.metadata, **provenance(hit, {})},
            score=hit.score,
        )
        for hit in result
    ]
    return _answer(documents, result)


def _hits(documents: Sequence[Document]) -> list[Hit]:
    return as_hits(
        (types.Document(each.id, each.content or "", deepcopy(each.meta)), each.score)
        for each in documents
    )


def _reranked(result: SearchResult, documents: Sequence[Document]) -> dict[str, Any]:
    found = []
    for hit in result:
        given = documents[hit.first_stage.rank - 1]
        meta = {**deepcopy(given.meta), **provenance(hit, given.meta)}
        found.append(replace(given, score=hit.score, meta=meta))
    return _answer(found, result)


def _answer(documents: list[Document], result: SearchResult) -> dict[str, Any]:
    log(result, logger)
    return {"documents": documents, "degraded": result.degraded, "report": report_of(result)}
