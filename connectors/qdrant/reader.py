"""Reading documents by their ids, and all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.batches import check_part
from retrieve_rerank.connectors.moving import CHECK_EVERY_S
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.collection import Collection
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.versions import SLICES
from retrieve_rerank.errors import UnsupportedServerError
from retrieve_rerank.types import Document

PAGE = 256  # points read at once when walking over all
COUNTED_AT_ONCE = 10_000
FETCHED_AT_ONCE = 1000  # documents asked for by their ids


class Reader:
    """Reads one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._server = collection.server

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""

        def fetch(state: State) -> Steps[tuple[dict[str, Document], list[Document]]]:
            layout = state.layout
            points = [layout.point_id(id_) for id_ in dict.fromkeys(ids)]
            known = [point for point in points if point is not None]
            found: dict[str, Document] = {}
            for start in range(0, len(known), FETCHED_AT_ONCE):
                arguments = {
                    "collection_name": state.collection,
                    "ids": known[start : start + FETCHED_AT_ONCE],
                    "with_payload": layout.selector,
                }
                for record in (yield Call("retrieve", arguments)):
                    document = layout.document(record)
                    found[document.id] = document
            return found, list(found.values())

        found = self._server.run(self._collection.settled(fetch))
        return [found[id_] for id_ in ids if id_ in found]

    def documents(self, state: State, *, part: int = 0, parts: int = 1) -> Iterator[Document]:
        """Iterate over the documents of a collection, or of one of so many parts; as `pages`."""
        layout = state.layout
        for points in self.pages(state, part=part, parts=parts, with_payload=layout.selector):
            yield from map(layout.document, points)

    def pages(
        self, state: State, *, part: int = 0, parts: int = 1, size: int | None = None, **what: Any
    ) -> Iterator[list[models.Record]]:
        """Walk over all points, or those of a part; a page that fails is asked for again.

        All are of the collection in `state`, wherever its alias goes meanwhile; raises
        IndexMismatchError where that was made anew. `what` is for `scroll`, and may name the
        collection's companion.
        """
        check_part(part, parts)
        if parts > 1:
            what["scroll_filter"] = self._slice(state, part, parts)
        what = {"collection_name": state.collection, **what}
        what |= {"limit": int(min(size or PAGE, state.limits.query))}
        offset, looked_at = None, time.monotonic()
        while True:
            points, offset = self._server.ask("scroll", offset=offset, **what)
            if offset is None or time.monotonic() - looked_at > CHECK_EVERY_S:
                self._server.run(self._collection.require_there(state))
                looked_at = time.monotonic()
            yield points
            if offset is None:
                return

    def count(self) -> int:
        """Return the number of documents; by reading their ids where strict mode counts none."""
        state = self._collection.state
        if state.limits.exact:
            return self._count(exact=True)
        return sum(map(len, self.pages(state, size=COUNTED_AT_ONCE, with_payload=False)))

    def estimate(self) -> int:
        """Return about how many documents there are, where strict mode counts none; else exactly.

        Points that the server is moving from one segment to another may count twice.
        """
        return self._count(exact=self._collection.state.limits.exact)

    def _count(self, *, exact: bool) -> int:

        def count(state: State) -> Steps[tuple[int, None]]:
            arguments = {"collection_name": state.collection, "exact": exact}
            return int((yield Call("count", arguments)).count), None

        return self._server.run(self._collection.settled(count))

    def _slice(self, state: State, part: int, parts: int) -> models.Filter:
        version = state.version
        if version < SLICES:
            raise UnsupportedServerError(
                f"reading in parts needs Qdrant {SLICES[0]}.{SLICES[1]}; this is "
                f"{version[0]}.{version[1]}: read it as a whole"
            )
        one = models.SliceCondition(slice=models.Slice(total=parts, index=part))
        return models.Filter(must=[one])
