"""LangChain: a Retriever as a `BaseRetriever`."""

from __future__ import annotations

import logging
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from retrieve_rerank.pipeline import Retriever
from retrieve_rerank.types import Hit, SearchResult

logger = logging.getLogger(__name__)


class RetrieveRerankRetriever(BaseRetriever):
    """Search in stages from LangChain, sync and async.

    Each document's metadata gains `relevance_score` (what ordered it), `first_stage_rank` (from
    1) and `first_stage_score`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Retriever
    """What searches; closing it stays with its owner."""
    k: int = Field(default=10, ge=1)
    """Documents to return."""
    filter: dict[str, Any] | None = None
    """Metadata that every document must have, see `retrieve_rerank.Filter`."""
    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds after which stages that are not done are given up."""

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
