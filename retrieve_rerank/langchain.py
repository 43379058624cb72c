"""LangChain: a Retriever as a `BaseRetriever`."""

from __future__ import annotations

import logging
from os import PathLike
from typing import Any, Self, Unpack

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from retrieve_rerank.connecting import open_retriever
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.shortcuts import IndexKeywords
from retrieve_rerank.types import Hit, SearchResult

logger = logging.getLogger(__name__)


class RetrieveRerankRetriever(BaseRetriever):
    """Search in stages from LangChain, sync and async.

    Each document's metadata gains `relevance_score` (what ordered it), `first_stage_rank` (from
    1) and `first_stage_score`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Retriever
    """What searches; closing it stays with its owner, see `close`."""
    k: int = Field(default=10, ge=1)
    """Documents to return."""
    filter: dict[str, Any] | None = None
    """Metadata that every document must have, see `retrieve_rerank.Filter`."""
    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds after which stages that are not done are given up."""

    @classmethod
    def from_index(
        cls,
        index: str | PathLike[str] | object | None = None,
        *,
        k: int | None = None,
        filter: dict[str, Any] | None = None,
        **settings: Unpack[IndexKeywords],
    ) -> Self:
        """Open an index as `retrieve_rerank.connect` does; `k` is the setting `top_k` where None.

        Raises as `connect` does. Close it by `close`.
        """
        retriever = open_retriever(index, settings, caller="from_index")
        return cls(
            retriever=retriever,
            k=retriever.top_k if k is None else k,
            filter=filter,
            deadline_s=retriever.deadline_s,
        )

    def close(self) -> None:
        """Close the index that `from_index` has opened."""
        self.retriever.close()

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: dict[str, Any] | None = None,
    ) -> list[Document]:
        result = self.retriever.search(
            query,
            top_k=self.k if k is None else k,
            filter=self.filter if filter is None else filter,
            deadline_s=self.deadline_s,
        )
        return _documents(result)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: dict[str, Any] | None = None,
    ) -> list[Document]:
        result = await self.retriever.asearch(
            query,
            top_k=self.k if k is None else k,
            filter=self.filter if filter is None else filter,
            deadline_s=self.deadline_s,
        )
        return _documents(result)


def _documents(result: SearchResult) -> list[Document]:
    for stage in result.stages:
        if stage.error is not None:
            logger.warning("stage %s left the incoming order: %s", stage.name, stage.error)
    for note in result.notes:
        logger.warning("%s", note)
    return [_document(hit) for hit in result]


def _document(hit: Hit) -> Document:
    first = hit.first_stage
    metadata = {
        **hit.document.metadata,
        "relevance_score": hit.score,
        "first_stage_rank": first.rank,
        "first_stage_score": first.score,
    }
    return Document(id=hit.document.id, page_content=hit.document.text, metadata=metadata)
