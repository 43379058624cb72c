"""What stands in a pipeline for a reranker that could not be loaded."""

from __future__ import annotations

from collections.abc import Sequence

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.errors import ModelError
from retrieve_rerank.types import Hit


class Unavailable(Reranker):
    """Fail, saying why: the stage leaves the order as it was, and every result tells of it."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        raise ModelError(self.why)
