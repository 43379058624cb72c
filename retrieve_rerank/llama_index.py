"""LlamaIndex: a Retriever as a `BaseRetriever`, and rerankers as a `BaseNodePostprocessor`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, Self, Unpack

from retrieve_rerank.errors import InputError, MissingExtraError, NotPicklableError

try:
    from llama_index.core import instrumentation
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.instrumentation.events import BaseEvent
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import (
        BaseNode,
        MetadataMode,
        NodeWithScore,
        QueryBundle,
        TextNode,
    )
    from llama_index.core.vector_stores import MetadataFilters
except ModuleNotFoundError as exc:
    raise MissingExtraError("retrieve_rerank.llama_index", "llama-index") from exc

from retrieve_rerank.adapting import (
    PROVENANCE,
    as_hits,
    cascade_of,
    first,
    log,
    provenance,
    report_of,
)
from retrieve_rerank.base import Filter, Reranker
from retrieve_rerank.connecting import open_retriever
from retrieve_rerank.foreign_filters import from_llama_index
from retrieve_rerank.pipeline.cascade import Cascade
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.shortcuts import IndexKeywords
from retrieve_rerank.types import Document, Hit, SearchResult

DEGRADED = "degraded"
"""Metadata of nodes where a stage left the incoming order: why, a sentence for each stage."""

_ADDED = [*PROVENANCE, DEGRADED]  # which neither an LLM nor an embedding model is to read

dispatcher = instrumentation.get_dispatcher(__name__)
logger = logging.getLogger(__name__)


@dataclass
class SearchQuery(QueryBundle):
    """A query with what is to hold of it alone, wherever LlamaIndex takes a `QueryBundle`."""

    top_k: int | None = None
    """Nodes that the retriever returns."""
    filter: Filter | MetadataFilters | None = None
    deadline_s: float | None = None
    """Seconds, for the retriever and for each postprocessor."""
    user: str | None = None
    """What is known of who asks, for models of the retriever that were trained to read it."""
    top_n: int | None = None
    """Nodes that a postprocessor leaves."""


class ReportEvent(BaseEvent):
    """What the stages of a search or of a reranking did."""

    report: dict[str, Any]
    """Whether it is `degraded`, its `notes`, and of each of its `stages` what there is to tell."""

    @classmethod
    def class_name(cls) -> str:
        """Return the event's name."""
        return "RetrieveRerankReportEvent"


class RetrieveRerankRetriever(BaseRetriever):
    """Search in stages from LlamaIndex, sync and async; closing it stays with its owner.

    Each node's metadata gain `relevance_score` (what ordered it, also the node's score),
    `first_stage_rank` (from 1) and `first_stage_score`, and `degraded` where a stage failed; they
    are kept out of what models read.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        top_k: int | None = None,
        filter: Filter | MetadataFilters | None = None,
        deadline_s: float | None = None,
        user: str | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """What is None is the retriever's own; a `SearchQuery` can say otherwise."""
        if not isinstance(retriever, Retriever):
            raise InputError(
                f"expected a Retriever; got {type(retriever).__name__}. An index is opened by its "
                "name or URL by RetrieveRerankRetriever.from_index"
            )
        super().__init__(callback_manager=callback_manager)
        self.retriever = retriever
        self.top_k = top_k
        self.filter = filter
        self.deadline_s = deadline_s
        self.user = user
        self.on_error = on_error

    @classmethod
    def from_index(
        cls,
        index: str | PathLike[str] | object | None = None,
        *,
        filter: Filter | MetadataFilters | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        callback_manager: CallbackManager | None = None,
        **settings: Unpack[IndexKeywords],
    ) -> Self:
        """Open an index as `retrieve_rerank.connect` does, and raise as it does.

        Close it by `close`, or use it in a `with` block.
        """
        retriever = open_retriever(index, settings, caller="from_index")
        return cls(retriever, filter=filter, on_error=on_error, callback_manager=callback_manager)

    def close(self) -> None:
        """Close the index that `from_index` has opened."""
        self.retriever.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        result = self.retriever.search(query_bundle.query_str, **self._wanted(query_bundle))
        return _nodes(result)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        wanted = self._wanted(query_bundle)
        return _nodes(await self.retriever.asearch(query_bundle.query_str, **wanted))

    def _wanted(self, query: QueryBundle) -> dict[str, Any]:
        asked = query if isinstance(query, SearchQuery) else SearchQuery("")
        given = first(asked.filter, self.filter)
        return {
            "top_k": first(asked.top_k, self.top_k),
            "filter": from_llama_index(given) if isinstance(given, MetadataFilters) else given,
            "deadline_s": first(asked.deadline_s, self.deadline_s),
            "user": first(asked.user, self.user),
            "on_error": self.on_error,
        }


class RerankNodePostprocessor(BaseNodePostprocessor):
    """Rerank nodes, sync and async, by any reranker, see `retrieve_rerank.rerank`.

    The nodes given stay as they are: what is returned are copies with the new score, whose
    metadata gain what `RetrieveRerankRetriever` says. A node that comes twice is returned once.
    """

    model_config = ConfigDict(extra="forbid")

    top_n: int | None = Field(default=None, ge=1)
    """Nodes to return; None is all."""
    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds after which the nodes that are not scored keep their order below the others."""
    on_error: Literal["degrade", "raise"] = "degrade"
    """Whether a reranker that fails leaves the order as it was, or raises."""
    _cascade: Cascade = PrivateAttr()
    _named: dict[str, Any] | None = PrivateAttr()

    def __init__(
        self,
        model: str | None = None,
        *,
        reranker: Reranker | Stage | str | None = None,
        options: Mapping[str, Any] | None = None,
        top_n: int | None = None,
        deadline_s: float | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """Load a model; without one and a reranker, it is MaxSim with the bundled encoder.

        `options` are the reranker's own, such as `prompt`. Raises ConfigError, InputError and
        ModelError.
        """
        given = {} if callback_manager is None else {"callback_manager": callback_manager}
        super().__init__(top_n=top_n, deadline_s=deadline_s, on_error=on_error, **given)
        self._cascade = cascade_of(reranker, model, options or {})
        self._named = None
        if reranker is None or isinstance(reranker, str):
            written = {name: value for name, value in (options or {}).items() if name != "key"}
            self._named = {"model": model, "reranker": reranker, "options": written}

    @classmethod
    def class_name(cls) -> str:
        """Return the component's name."""
        return "RerankNodePostprocessor"

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return what `from_dict` makes an equal one of, without the key of a service, which comes
        from the environment then; raise InputError for a reranker that was given as an object."""
        if self._named is None:
            raise InputError(
                "a reranker that was given as an object cannot be written down; give its name, or"
                " its model's"
            )
        return {**super().to_dict(**kwargs), **self._named}

    def __getstate__(self) -> Any:
        raise NotPicklableError(self)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not nodes:
            return []
        query, wanted = self._asked(nodes, query_bundle)
        return _reranked(self._cascade.rerank(query, _hits(nodes), **wanted), nodes)

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not nodes:
            return []
        query, wanted = self._asked(nodes, query_bundle)
        return _reranked(await self._cascade.arerank(query, _hits(nodes), **wanted), nodes)

    def _asked(
        self, nodes: Sequence[NodeWithScore], query: QueryBundle | None
    ) -> tuple[str, dict[str, Any]]:
        """Return what this call is to do, and tell LlamaIndex that it begins."""
        if query is None:
            raise InputError("nodes are reranked for a query; give query_str or query_bundle")
        own = query if isinstance(query, SearchQuery) else SearchQuery("")
        top_n = first(own.top_n, self.top_n)
        dispatcher.event(
            ReRankStartEvent(
                query=query,
                nodes=list(nodes),
                top_n=len(nodes) if top_n is None else top_n,
                model_name=self._cascade.stages[0].reranker.name,
            )
        )
        deadline_s = first(own.deadline_s, self.deadline_s)
        wanted = {"top_k": top_n, "deadline_s": deadline_s, "on_error": self.on_error}
        return query.query_str, wanted


def _nodes(result: SearchResult) -> list[NodeWithScore]:
    degraded = _told(result)
    found = []
    for hit in result:
        document = hit.document
        node = TextNode(id_=document.id, text=document.text, metadata={**document.metadata})
        found.append(_scored(node, hit, provenance(hit, {}), degraded))
    return found


def _hits(nodes: Sequence[NodeWithScore]) -> list[Hit]:
    documents = (
        Document(
            each.node.node_id,
            each.node.get_content(metadata_mode=MetadataMode.NONE),
            deepcopy(each.node.metadata),
        )
        for each in nodes
    )
    return as_hits(zip(documents, (each.score for each in nodes), strict=True))


def _reranked(result: SearchResult, nodes: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    degraded = _told(result)
    found = []
    for hit in result:
        node = nodes[hit.first_stage.rank - 1].node
        found.append(_scored(node, hit, provenance(hit, node.metadata), degraded))
    dispatcher.event(ReRankEndEvent(nodes=found))
    return found


def _scored(
    node: BaseNode, hit: Hit, gained: Mapping[str, Any], degraded: Sequence[str]
) -> NodeWithScore:
    """Copy a node, with what its metadata gain."""
    metadata = {**deepcopy(node.metadata), **gained}
    if degraded:
        metadata[DEGRADED] = list(degraded)
    hidden = {
        name: [*dict.fromkeys([*getattr(node, name), *_ADDED])]
        for name in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    }
    copy = node.model_copy(update={"metadata": metadata, **hidden})
    return NodeWithScore(node=copy, score=hit.score)


def _told(result: SearchResult) -> list[str]:
    """Tell LlamaIndex what the stages did; return why any left the incoming order."""
    log(result, logger)
    dispatcher.event(ReportEvent(report=report_of(result)))
    return [f"{each.name}: {each.error}" for each in result.stages if each.error is not None]
