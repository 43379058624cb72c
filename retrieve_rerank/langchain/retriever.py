"""A search as LangChain's retriever."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal, Self, TypedDict, Unpack

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from retrieve_rerank.adapting import report_of
from retrieve_rerank.connecting import open_retriever
from retrieve_rerank.errors import InputError
from retrieve_rerank.langchain.reporting import atell, tell
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.shortcuts import IndexKeywords
from retrieve_rerank.types import Hit, SearchResult


class _OfOneCall(TypedDict, total=False):
    """What a call can set in place of the retriever's own."""

    k: int | None
    filter: dict[str, Any] | None
    deadline_s: float | None
    user: str | None


class RetrieveRerankRetriever(BaseRetriever):
    """Search in stages from LangChain, sync and async.

    Each document's metadata gains `relevance_score` (what ordered it), `first_stage_rank` (from
    1) and `first_stage_score`. Callbacks receive each search's report as the custom event
    "retrieve_rerank". `k`, `filter`, `deadline_s` and `user` can be given to `invoke` too.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: Retriever
    """What searches; closing it stays with its owner, see `close`."""
    k: int = Field(default=10, ge=1)
    """Documents to return."""
    filter: dict[str, Any] | None = None
    """Metadata that every document must have, see `retrieve_rerank.Filter`."""
    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds after which stages that are not done are given up."""
    user: str | None = Field(default=None, repr=False)
    """What is known of who asks, for models that were trained to read it."""
    on_error: Literal["degrade", "raise"] = "degrade"
    """Whether a stage that fails leaves the order as it was, or raises: for LangChain's fallbacks
    and retries."""
    include_report: bool = False
    """Whether each document's metadata also hold its search's report, as `search_report`."""

    @classmethod
    def from_index(
        cls,
        index: str | PathLike[str] | object | None = None,
        *,
        k: int | None = None,
        filter: dict[str, Any] | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        include_report: bool = False,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **settings: Unpack[IndexKeywords],
    ) -> Self:
        """Open an index as `retrieve_rerank.connect` does; `k` is the setting `top_k` where None.

        `tags` and `metadata` go to callbacks and traces. Raises as `connect` does. Close it by
        `close`, or use it in a `with` block.
        """
        retriever = open_retriever(index, settings, caller="from_index")
        try:
            return cls(
                retriever=retriever,
                k=retriever.top_k if k is None else k,
                filter=filter,
                deadline_s=retriever.deadline_s,
                on_error=on_error,
                include_report=include_report,
                tags=tags,
                metadata=metadata,
            )
        except BaseException:
            retriever.close()
            raise

    def close(self) -> None:
        """Close the index that `from_index` has opened."""
        self.retriever.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **call: Unpack[_OfOneCall],
    ) -> list[Document]:
        result = self.retriever.search(query, on_error=self.on_error, **self._asked(call))
        tell(result, run_manager.get_child())
        return self._documents(result)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **call: Unpack[_OfOneCall],
    ) -> list[Document]:
        result = await self.retriever.asearch(query, on_error=self.on_error, **self._asked(call))
        await atell(result, run_manager.get_child())
        return self._documents(result)

    def _asked(self, call: _OfOneCall) -> dict[str, Any]:
        """Return what a search is asked for: what the call sets, else what the retriever has."""
        given: dict[str, Any] = {name: value for name, value in call.items() if value is not None}
        known = list(_OfOneCall.__annotations__)
        if unknown := given.keys() - set(known):
            raise InputError(f"a call takes {', '.join(known)}; got {', '.join(sorted(unknown))}")
        asked = {name: getattr(self, name) for name in known} | given
        k = asked.pop("k")
        if not isinstance(k, int) or k < 1:
            raise InputError(f"k must be a whole number, at least 1; got {k!r}")
        return {"top_k": k, **asked}

    def _documents(self, result: SearchResult) -> list[Document]:
        return [
            _document(hit, {"search_report": report_of(result)} if self.include_report else {})
            for hit in result
        ]


def _document(hit: Hit, more: dict[str, Any]) -> Document:
    first = hit.first_stage
    metadata = {
        **hit.document.metadata,
        "relevance_score": hit.score,
        "first_stage_rank": first.rank,
        "first_stage_score": first.score,
        **more,
    }
    return Document(id=hit.document.id, page_content=hit.document.text, metadata=metadata)
