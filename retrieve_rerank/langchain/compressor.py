"""A reranker as LangChain's document compressor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as ChainDocument
from pydantic import ConfigDict, Field, InstanceOf, PrivateAttr

from retrieve_rerank.adapting import report_of
from retrieve_rerank.base import Reranker
from retrieve_rerank.connecting import stage_for
from retrieve_rerank.errors import InputError, NotPicklableError
from retrieve_rerank.langchain.reporting import atell, tell
from retrieve_rerank.pipeline.cascade import Cascade
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.types import Document, Hit, SearchResult


class RerankDocumentCompressor(BaseDocumentCompressor):
    """Rerank the documents of any retriever.

    Each document's metadata gains `relevance_score` (the reranker's) and, unless it is there
    already, `first_stage_rank` (the place that it came in, from 1). Where the reranker fails, the
    documents come back in their order, with minus their place as `relevance_score`; callbacks
    receive each report as the custom event "retrieve_rerank".
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    reranker: InstanceOf[Reranker] | InstanceOf[Stage] | str | None = Field(
        default=None, exclude=True
    )
    """The reranker, or its name; where None, the one that runs the model. In a `Stage` it has a
    depth, a weight or a threshold."""
    model: str | Path | None = Field(default=None, exclude=True)
    """The model of a reranker that is given by name, or by its model alone."""
    options: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """Further settings of that stage, as in rr.toml."""
    top_n: int | None = Field(default=None, ge=1)
    """Documents to return; all of them where None."""
    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds after which documents that are not scored keep their order below those that are."""
    on_error: Literal["degrade", "raise"] = "degrade"
    """Whether a reranker that fails leaves the order as it was, or raises."""
    include_report: bool = False
    """Whether each document's metadata also hold the report, as `rerank_report`."""

    _cascade: Cascade = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Make the reranker; raise what is wrong with its name, its model or its options."""
        given = self.reranker
        if isinstance(given, Reranker | Stage):
            if self.model is not None or self.options:
                raise InputError("model and options are for a reranker given by its name")
            self._cascade = Cascade(given if isinstance(given, Stage) else Stage(given, weight=1.0))
        else:
            model = None if self.model is None else str(self.model)
            self._cascade = Cascade(stage_for(model, given, {"weight": 1.0, **self.options}))

    def __getstate__(self) -> dict[Any, Any]:
        raise NotPicklableError(self)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Name the reranker alone: a model's URL and options may hold passwords and keys."""
        yield "reranker", self._cascade.stages[0].reranker.name
        yield from self.model_dump().items()

    def compress_documents(
        self,
        documents: Sequence[ChainDocument],
        query: str,
        callbacks: Callbacks | None = None,
    ) -> Sequence[ChainDocument]:
        """Return the best of these documents, best first; those that were given stay as they are.

        Raises InputError for an empty query.
        """
        result = self._cascade.rerank(
            query, _hits(documents), deadline_s=self.deadline_s, on_error=self.on_error
        )
        tell(result, CallbackManager.configure(callbacks))
        return self._ranked(result, documents)

    async def acompress_documents(
        self,
        documents: Sequence[ChainDocument],
        query: str,
        callbacks: Callbacks | None = None,
    ) -> Sequence[ChainDocument]:
        """Async twin of `compress_documents`."""
        result = await self._cascade.arerank(
            query, _hits(documents), deadline_s=self.deadline_s, on_error=self.on_error
        )
        await atell(result, AsyncCallbackManager.configure(callbacks))
        return self._ranked(result, documents)

    def _ranked(
        self, result: SearchResult, documents: Sequence[ChainDocument]
    ) -> list[ChainDocument]:
        ranked = []
        for hit in result.hits[: self.top_n]:
            came = hit.first_stage.rank
            given = documents[came - 1]
            more = {"rerank_report": report_of(result)} if self.include_report else {}
            metadata = {
                **given.metadata,
                "relevance_score": hit.score,
                "first_stage_rank": given.metadata.get("first_stage_rank", came),
                **more,
            }
            ranked.append(given.model_copy(update={"metadata": metadata}))
        return ranked


def _hits(documents: Sequence[ChainDocument]) -> list[Hit]:
    """Make hits of documents in their order; those without an id of their own are given one."""
    taken = {document.id for document in documents}
    used: set[str] = set()
    hits = []
    for place, document in enumerate(documents, start=1):
        id_ = document.id
        if not id_ or id_ in used:
            id_ = f"#{place}"
            while id_ in taken:
                id_ += "#"
        used.add(id_)
        ours = Document(id_, document.page_content, dict(document.metadata))
        hits.append(Hit(ours, score=-float(place), rank=place))
    return hits
