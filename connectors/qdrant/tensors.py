"""Token tensors beside the documents of a collection, ours or others'.

They are a multivector of their own, and the hash of the text that each was made from is in the
payload. Knows nothing of the models that make them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from qdrant_client import models

from retrieve_rerank.base import TensorDtype, TensorSettings, TokenTensor
from retrieve_rerank.connectors.qdrant.copying import copy_with_tensors
from retrieve_rerank.connectors.qdrant.creation import NO_GRAPH, tensor_datatype
from retrieve_rerank.connectors.qdrant.detection import multivectors
from retrieve_rerank.connectors.qdrant.layout import TENSOR_HASH, TENSORS
from retrieve_rerank.connectors.qdrant.limits import TEXT_QUERY, VECTOR_NAMES
from retrieve_rerank.connectors.qdrant.points import fit_tensor, wire_size
from retrieve_rerank.connectors.qdrant.refusals import partial, write_what_can_be
from retrieve_rerank.connectors.qdrant.server import Call, Steps
from retrieve_rerank.connectors.qdrant.state import State
from retrieve_rerank.connectors.qdrant.writer import BATCH_BYTES, Writer
from retrieve_rerank.errors import IndexMismatchError, LimitExceededError, UnsupportedServerError

_PAGE = 256  # points walked over at once


class Tensors:
    """Reads and writes the tensors of one collection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._server = writer.server
        self._searcher = writer.searcher
        self._begun = self._searcher.state

    @property
    def dtype(self) -> TensorDtype:
        """The most compact type that the server has."""
        return "int8" if self._searcher.state.version >= TEXT_QUERY else "float16"

    def settings(self) -> TensorSettings | None:
        """Tell how the tensors that are there were made; None where there are none."""
        state = self._begun = self._server.run(self._searcher.refresh())
        return state.record.tensors if state.has_tensors else None

    def create(self, settings: TensorSettings) -> None:
        """Make room; the record comes first, so that what a crash leaves is known as ours.

        Where the server cannot add vectors to a collection, one that an alias names is copied.
        Raises IndexMismatchError where tensors of other settings are, and UnsupportedServerError.
        """
        state = self._begun = self._server.run(self._searcher.refresh())
        recorded, there = state.record.tensors, TENSORS in multivectors(state.info)
        if there and recorded != settings:
            raise IndexMismatchError(
                f"{self._server.location} has token tensors of other settings ({recorded}); got "
                f"{settings}. Drop them first: rr tensors drop"
            )
        if there:
            return
        datatype = tensor_datatype(settings.dtype, state.version)
        record = replace(state.record, tensors=settings)
        if state.version < VECTOR_NAMES:
            self._server.run(copy_with_tensors(state, record, datatype=datatype))
            self._begun = self._server.run(self._searcher.refresh())
            return
        self._writer.save(record)
        self._server.run(self._make_room(settings.dimension, datatype))

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a tensor."""
        points = self._points(ids)
        arguments = {**self._collection, "ids": list(points), "with_payload": [TENSOR_HASH]}
        found = self._server.ask("retrieve", **arguments) if points else []
        return {
            points[each.id]: each.payload[TENSOR_HASH]
            for each in found
            if each.payload and TENSOR_HASH in each.payload
        }

    def write(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, leaving out documents that are gone; raise PartialWriteError."""
        refused: dict[str, str] = {}
        for batch in _cut(tensors):
            refused |= write_what_can_be(
                batch, lambda some: self._server.run(self._write(some)), lambda each: each.id
            )
        if refused:
            raise partial(refused)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""
        refused = write_what_can_be(ids, lambda some: self._server.run(self._delete(some)), str)
        if refused:
            raise partial(refused)

    def drop(self) -> None:
        """Delete all tensors and the room made for them."""
        state = self._begun = self._server.run(self._searcher.refresh())
        if TENSORS in multivectors(state.info):
            if state.version < VECTOR_NAMES:
                raise UnsupportedServerError(
                    f"Qdrant {state.version[0]}.{state.version[1]} cannot take vectors out of a "
                    "collection; 1.18 can"
                )
            self._drop()
        if state.record.tensors is not None:
            self._writer.save(replace(state.record, tensors=None))
            self._server.run(self._searcher.refresh())

    @property
    def _collection(self) -> dict[str, Any]:
        return {"collection_name": self._state.collection}

    @property
    def _state(self) -> State:
        """The collection as it was last seen, which is the one that this work began on."""
        return self._searcher.standing.same_as(self._begun)

    def _points(self, ids: Sequence[str]) -> dict[models.ExtendedPointId, str]:
        layout = self._state.layout
        points = {layout.point_id(id_): id_ for id_ in ids}
        return {point: id_ for point, id_ in points.items() if point is not None}

    def _make_room(self, dimension: int, datatype: models.Datatype) -> Steps[None]:
        config = models.DenseVectorConfig(
            size=dimension,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            ),
            datatype=models.VectorStorageDatatype(datatype.value),
        )
        yield Call(
            "create_vector_name",
            {
                **self._collection,
                "vector_name": TENSORS,
                "vector_name_config": models.DenseVectorNameConfig(dense=config),
            },
        )
        # It takes neither, and so the collection's would hold: a graph over tokens, and scores of
        # quantised tokens, which a copy in memory would be made for.
        diff = models.VectorParamsDiff(
            hnsw_config=NO_GRAPH, on_disk=True, quantization_config=models.Disabled.DISABLED
        )
        yield Call("update_collection", {**self._collection, "vectors_config": {TENSORS: diff}})
        yield from self._searcher.refresh()

    def _write(self, tensors: Sequence[TokenTensor]) -> Steps[None]:
        points = self._points([each.id for each in tensors])
        arguments = {**self._collection, "ids": list(points), "with_payload": False}
        there = {points[each.id]: each.id for each in (yield Call("retrieve", arguments))}
        kept = [(there[each.id], each) for each in tensors if each.id in there]
        if not kept:
            return
        vectors = [
            models.PointVectors(id=point, vector={TENSORS: fit_tensor(each.tokens).tolist()})
            for point, each in kept
        ]
        operations: list[models.UpdateOperation] = [
            models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=vectors)),
            *(
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(
                        payload={TENSOR_HASH: each.content_hash}, points=[point]
                    )
                )
                for point, each in kept
            ),
        ]
        yield Call("batch_update_points", {**self._collection, "update_operations": operations})

    def _delete(self, ids: Sequence[str]) -> Steps[None]:
        points = list(self._points(ids))
        there = yield Call("retrieve", {**self._collection, "ids": points, "with_payload": False})
        selector = {**self._collection, "points": [each.id for each in there]}
        if there:
            yield Call("delete_payload", {**selector, "keys": [TENSOR_HASH]})
            yield Call("delete_vectors", {**selector, "vectors": [TENSORS]})

    def _drop(self) -> None:
        # The hashes first: without them a tensor that is left counts as missing, never as right.
        everything = models.FilterSelector(filter=models.Filter())
        try:
            self._forget(everything)
        except LimitExceededError:  # to a rate limit, a filter is as many writes as it finds points
            for ids in self._with_hash():
                if refused := write_what_can_be(ids, self._forget, str):
                    raise partial(refused) from None
        self._server.ask("delete_vector_name", **self._collection, vector_name=TENSORS)

    def _forget(self, points: Any) -> None:
        self._server.ask("delete_payload", **self._collection, keys=[TENSOR_HASH], points=points)

    def _with_hash(self) -> Iterator[list[models.ExtendedPointId]]:
        """Walk over the points that have a hash; strict mode may forbid to filter by it."""
        arguments = {**self._collection, "with_payload": [TENSOR_HASH]}
        arguments["limit"] = int(min(_PAGE, self._searcher.state.limits.query))
        offset = None
        while True:
            points, offset = self._server.ask("scroll", **arguments, offset=offset)
            yield [each.id for each in points if each.payload]
            if offset is None:
                return


def _cut(tensors: Sequence[TokenTensor]) -> Iterator[list[TokenTensor]]:
    """Cut into requests that a server takes."""
    batch: list[TokenTensor] = []
    size = 0
    for each in tensors:
        if batch and size + wire_size(each.tokens.size) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += wire_size(each.tokens.size)
    if batch:
        yield batch
