"""Reading documents by their ids, and all of them.

Knows nothing of searching.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.batches import check_part
from retrieve_rerank.connectors.qdrant.limits import SLICES
from retrieve_rerank.connectors.qdrant.searcher import Searcher
from retrieve_rerank.connectors.qdrant.server import Server
from retrieve_rerank.errors import UnsupportedServerError
from retrieve_rerank.types import Document

PAGE = 256  # points read at once when walking over all
COUNTED_AT_ONCE = 10_000
FETCHED_AT_ONCE = 1000  # documents asked for by their ids


class Reader:
    """Reads one collection."""

    def __init__(self, server: Server, searcher: Searcher) -> None:
        self._server = server
        self._searcher = searcher

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""
        layout = self._searcher.state.layout
        points = [layout.point_id(id_) for id_ in dict.fromkeys(ids)]
        known = [point for point in points if point is not None]
        found: dict[str, Document] = {}
        for start in range(0, len(known), FETCHED_AT_ONCE):
            some = known[start : start + FETCHED_AT_ONCE]
            for record in self._ask("retrieve", ids=some, with_payload=layout.selector):
                document = layout.document(record)
                found[document.id] = document
        return [found[id_] for id_ in ids if id_ in found]

    def pages(
        self, *, part: int = 0, parts: int = 1, size: int | None = None, **what: Any
    ) -> Iterator[list[models.Record]]:
        """Walk over all points, or those of a part; a page that fails is asked for again."""
        check_part(part, parts)
        if parts > 1:
            what["scroll_filter"] = self._slice(part, parts)
        limit = int(min(size or PAGE, self._searcher.state.limits.query))
        offset = None
        while True:
            points, offset = self._ask("scroll", limit=limit, offset=offset, **what)
            yield points
            if offset is None:
                return

    def count(self) -> int:
        """Return the number of documents; by reading their ids where strict mode counts none."""
        if self._searcher.state.limits.exact:
            return int(self._ask("count", exact=True).count)
        return sum(map(len, self.pages(size=COUNTED_AT_ONCE, with_payload=False)))

    def estimate(self) -> int:
        """Return about how many documents there are, where strict mode counts none; else exactly.

        Points that the server is moving from one segment to another may count twice.
        """
        exact = self._searcher.state.limits.exact
        return int(self._ask("count", exact=exact).count)

    def _slice(self, part: int, parts: int) -> models.Filter:
        version = self._searcher.state.version
        if version < SLICES:
            raise UnsupportedServerError(
                f"reading in parts needs Qdrant {SLICES[0]}.{SLICES[1]}; this is "
                f"{version[0]}.{version[1]}: read it as a whole"
            )
        one = models.SliceCondition(slice=models.Slice(total=parts, index=part))
        return models.Filter(must=[one])

    def _ask(self, method: str, **arguments: Any) -> Any:
        collection = self._searcher.state.collection
        return self._server.ask(method, collection_name=collection, **arguments)
