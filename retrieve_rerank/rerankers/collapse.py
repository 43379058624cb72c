"""One hit for each group: chunks to the documents that they were cut from.

Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrieve_rerank.base import Reranker
from retrieve_rerank.rerankers.metadata import value_at
from retrieve_rerank.types import Hit, rescore


class Collapse(Reranker):
    """Keep the best hit of each group of hits with the same value in a metadata field.

    Before a reranker it saves judging several chunks of one document, after it the reranker
    chooses the chunk that stands for it. Hits without the field are groups of their own.
    """

    name = "collapse"
    selective = True

    def __init__(self, field: str) -> None:
        """`field` is a metadata field; `source.id` reaches into nested metadata."""
        self.field = field

    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> list[Hit]:
        """Return the first hit of each group, with the score that it had."""
        groups: dict[str, Hit] = {}
        for hit in hits:
            value = value_at(hit.document.metadata, self.field)
            groups.setdefault(f"id {hit.document.id}" if value is None else f"value {value!r}", hit)
        kept = list(groups.values())
        return rescore(kept, [hit.score for hit in kept], top_k=top_k)
