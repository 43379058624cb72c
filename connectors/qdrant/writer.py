"""Writing to an index of ours: batch by batch, leaving out what is there already.

What has been reported is written, and running the same again goes on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import cast

from qdrant_client import models

from retrieve_rerank.base import Encoder, IndexReport
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.batches import batches, sample
from retrieve_rerank.connectors.field_types import add_fields
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.collection import Collection
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.points import make_points
from retrieve_rerank.connectors.qdrant.refusals import MAX_REFUSED, partial, write_what_can_be
from retrieve_rerank.connectors.records import Record, record
from retrieve_rerank.connectors.tensor_encoder import TensorEncoder
from retrieve_rerank.errors import SchemaError
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Document

BATCH_POINTS = 64
BATCH_BYTES = 4 << 20
"""Of one request, estimated: a server refuses 32 MB, and large ones make it stall
(https://github.com/qdrant/landing_page/pull/253)."""

INDEXED_FIELDS = 64
"""Fields of the metadata that get an index on the server; each takes memory for all points."""

_KINDS = {
    "string": models.PayloadSchemaType.KEYWORD,
    "date": models.PayloadSchemaType.DATETIME,
    "integer": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
    "boolean": models.PayloadSchemaType.BOOL,
}  # an index holds values of one type, so that fields of mixed types have none
_DELETED_AT_ONCE = 1000


class Writer:
    """Changes a collection; one thread at a time, the others wait."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._server = collection.server
        self._begun = collection.state
        self._tensor_encoder = TensorEncoder()
        self._turn = threading.RLock()  # `on_progress` may write too

    def index(
        self, documents: Iterable[Document], on_progress: Callable[[int], None] | None
    ) -> IndexReport:
        """Add the documents; raise PartialWriteError at the end for those that were refused."""
        indexed = unchanged = truncated = 0
        refused: dict[str, str] = {}
        with self._turn:
            self._begun = self._server.run(self._collection.refresh())
            _require_ours(self._begun, self._server.location)
            self._server.run(self._index_fields())  # an interrupted run may have left some unmade
            for batch in batches(self._fit(documents)):
                self._refresh()  # tensors may be made with another model from here on
                records = {each.id: each for each in map(record, batch)}  # the last one counts
                new = self._changed(records)
                self._learn_fields(new)
                made = make_points(new, self._state.record, self._encoder())
                most = min(BATCH_POINTS, self._state.limits.upsert_batch)
                for sized in cut(made.points, lambda each: each.size, size=BATCH_BYTES, count=most):
                    points = [each.point for each in sized]
                    refused |= write_what_can_be(points, self._upsert, _id_of)
                    if len(refused) > MAX_REFUSED:
                        raise partial(refused)
                indexed += len(new)
                unchanged += len(records) - len(new)
                truncated += made.truncated
                if on_progress:
                    on_progress(len(batch))
            self._refresh()
        if refused:
            raise partial(refused)
        return IndexReport(indexed, unchanged, truncated)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents; return how many there were."""
        state = self._server.run(self._collection.refresh())
        unique = dict.fromkeys(map(state.layout.point_id, ids))
        points = [point for point in unique if point is not None]
        found: list[int] = []
        refused: dict[str, str] = {}
        with self._turn:
            for start in range(0, len(points), _DELETED_AT_ONCE):
                refused |= write_what_can_be(
                    points[start : start + _DELETED_AT_ONCE],
                    lambda some: found.append(self._server.run(_delete(state.collection, some))),
                    str,
                )
        if refused:
            raise partial(refused)
        return sum(found)

    @property
    def _state(self) -> State:
        """The collection as it was last seen, which is the one that writing began on."""
        return self._collection.same_as(self._begun)

    def _refresh(self) -> State:
        self._server.run(self._collection.refresh())
        return self._state

    def _upsert(self, points: Sequence[models.PointStruct]) -> None:
        collection = self._state.collection
        self._server.ask("upsert", collection_name=collection, points=list(points))

    def _encoder(self) -> Encoder | None:
        state = self._state
        if not state.encoder.exists:
            return None
        own = cast(Encoder, state.encoder.load())  # of an own index: `create` takes no other
        return self._tensor_encoder.of_documents(own, state.record.tensors)

    def _fit(self, documents: Iterable[Document]) -> Iterable[Document]:
        """Tell language and average length from the first documents an index ever sees."""
        known = self._state.record
        if known.bm25 is not None:
            return documents
        first, documents = sample(documents)
        if first:
            template = Template(known.template)
            texts = [template.render(document) for document in first]
            bm25 = Bm25.fit(texts, language=known.language)
            known = self._refresh().record  # which another process may have learned
            if known.bm25 is None:
                self._collection.save(replace(known, bm25=bm25))
        return documents

    def _changed(self, records: Mapping[str, Record]) -> list[Record]:
        layout = self._state.layout
        points = {layout.point_id(id_): each for id_, each in records.items()}
        stored = self._server.ask(
            "retrieve",
            collection_name=self._state.collection,
            ids=list(points),
            with_payload=["hash"],
        )
        for old in stored:
            if (old.payload or {}).get("hash") == points[old.id].content_hash:
                del points[old.id]
        return list(points.values())

    def _learn_fields(self, records: Iterable[Record]) -> None:
        # Before their documents are written: a filter may name too many fields, never too few.
        known = self._state.record
        fields = deepcopy(known.fields)
        changed = [add_fields(fields, each.metadata) for each in records]
        if not any(changed):
            return
        known = self._refresh().record  # another process may have learned others
        fields = deepcopy(known.fields)
        for each in records:
            add_fields(fields, each.metadata)
        if fields != known.fields:
            self._collection.save(replace(known, fields=fields))
        self._server.run(self._index_fields())

    def _index_fields(self) -> Steps[None]:
        """Make a payload index for each field, anew where a later type's values would lack.

        Odd keys, which must be quoted in paths, go without.
        """
        state = self._state
        if self._server.local:
            return
        wanted = {
            state.layout.path(path): _KINDS.get(kind)
            for paths in state.fields.values()
            for path, kind in paths.items()
        }
        there, room = state.indexed, int(min(INDEXED_FIELDS, state.limits.indexes))
        plain = [(path, kind) for path, kind in wanted.items() if '"' not in path]
        lacking = [
            (path, kind)
            for path, kind in plain[:room]
            if there.get(path) != (kind.value if kind else None)
        ]
        for path, kind in lacking:
            name = {"collection_name": state.collection, "field_name": path}
            if path in there:
                yield Call("delete_payload_index", name)
            if kind is not None:
                yield Call("create_payload_index", {**name, "field_schema": kind})
        if lacking:
            yield from self._collection.refresh()


def _require_ours(state: State, location: str) -> None:
    if not state.ours:
        raise SchemaError(
            f"{location} was made by others ({state.layout.writer}), who alone write to it; make "
            "an index of your own: rr index SOURCE --index URL, with the name of a new collection"
        )


def _delete(collection: str, points: Sequence[int | str]) -> Steps[int]:
    there = yield Call(
        "retrieve",
        {"collection_name": collection, "ids": list(points), "with_payload": False},
    )
    selector = models.PointIdsList(points=list(points))
    yield Call("delete", {"collection_name": collection, "points_selector": selector})
    return len(there)


def _id_of(point: models.PointStruct) -> str:
    return str((point.payload or {})["id"])
