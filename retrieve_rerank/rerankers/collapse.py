"""One hit for each group: chunks to the documents that they were cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.errors import InputError
from retrieve_rerank.text.field_paths import value_at
from retrieve_rerank.types import Hit


class Collapse(Reranker):
    """Keep the best hit of each group of hits with the same value in a metadata field.

    Before a reranker it saves scoring several chunks of one document, after it the reranker
    chooses the chunk that stands for it. Hits without the field are groups of their own, where
    others have it.
    """

    name = "collapse"
    selective = True

    def __init__(self, field: str) -> None:
        """`field` is a metadata field; `source.id` reaches into nested metadata."""
        self.field = field

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Return the first hit of each group, with the score that it had.

        Raises InputError where no hit has the field.
        """
        if hits and all(value_at(hit.document.metadata, self.field) is None for hit in hits):
            raise InputError(f"no hit has the field {self.field!r} to be collapsed by")
        groups: dict[str, Hit] = {}
        for hit in hits:
            groups.setdefault(self._group(hit), hit)
        # Not by score: hits that the stage before did not score have theirs on another scale.
        return RerankResult(
            [
                replace(hit, rank=place, previous=hit)
                for place, hit in enumerate(groups.values(), start=1)
            ]
        )

    def below(self, shown: Sequence[Hit], rest: Sequence[Hit]) -> list[Hit]:
        """Return those of `rest` whose group is not shown."""
        groups = set(map(self._group, shown))
        return [hit for hit in rest if self._group(hit) not in groups]

    def _group(self, hit: Hit) -> str:
        value = value_at(hit.document.metadata, self.field)
        return f"id {hit.document.id}" if value is None else f"value {value!r}"
