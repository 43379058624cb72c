"""A collection with room for tensors, for servers that cannot add it to one that is there.

The collection is copied, with its settings, and its alias goes over to the copy in one step. Knows
nothing of what tensors are made from.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.qdrant.creation import take_alias, tensor_vectors
from retrieve_rerank.connectors.qdrant.layout import TENSORS
from retrieve_rerank.connectors.qdrant.limits import METADATA
from retrieve_rerank.connectors.qdrant.record import KEY, IndexRecord, save_record
from retrieve_rerank.connectors.qdrant.server import Call, Steps
from retrieve_rerank.connectors.qdrant.state import State
from retrieve_rerank.errors import IndexExistsError, UnsupportedServerError

SUFFIX = "-with-tensors"
"""Of the copy's name."""

_PAGE = 32  # points with all their vectors, a multivector of others among them, within 32 MB


def copy_with_tensors(
    state: State, record: IndexRecord, *, datatype: models.Datatype
) -> Steps[None]:
    """Copy the collection that an alias names, and let the alias name the copy.

    What is written meanwhile is lost. The old collection stays. Raises UnsupportedServerError
    where the name is not an alias, and IndexExistsError where a copy was begun before.
    """
    real = state.collection
    if real == state.name:
        raise UnsupportedServerError(
            f"Qdrant {state.version[0]}.{state.version[1]} cannot add vectors to a collection; "
            f"1.18 can. Upgrade it, or search {real} through an alias: then it is copied, and the "
            "alias goes over to the copy"
        )
    copy = f"{real}{SUFFIX}"
    try:
        yield Call("create_collection", _like(state, record, copy, datatype))
    except IndexExistsError as exc:
        raise IndexExistsError(
            f"{copy} is there already, perhaps from a copy that was cut short; delete it first"
        ) from exc
    if state.version < METADATA:
        yield from save_record(copy, state.version, record)
    for path, index in state.info.payload_schema.items():
        schema = index.params or index.data_type
        arguments = {"collection_name": copy, "field_name": path, "field_schema": schema}
        yield Call("create_payload_index", arguments)
    yield from _copy_points(real, copy, page=int(min(_PAGE, state.limits.query)))
    yield from take_alias(copy, state.name)


def _like(
    state: State, record: IndexRecord, copy: str, datatype: models.Datatype
) -> dict[str, Any]:
    """Word a collection of the same settings, with tensors."""
    config, params = state.info.config, state.info.config.params
    vectors = params.vectors or {}
    named = {"": vectors} if isinstance(vectors, models.VectorParams) else vectors
    dimension = record.tensors.dimension if record.tensors else 0
    arguments: dict[str, Any] = {
        "collection_name": copy,
        "vectors_config": {**named, TENSORS: tensor_vectors(dimension, datatype)},
        "sparse_vectors_config": params.sparse_vectors,
        "shard_number": params.shard_number,
        "replication_factor": params.replication_factor,
        "write_consistency_factor": params.write_consistency_factor,
        "on_disk_payload": params.on_disk_payload,
        "hnsw_config": models.HnswConfigDiff(**config.hnsw_config.model_dump()),
        "quantization_config": config.quantization_config,
    }
    if state.version >= METADATA:
        arguments["metadata"] = {**(config.metadata or {}), KEY: asdict(record)}
    return arguments


def _copy_points(real: str, copy: str, *, page: int) -> Steps[None]:
    offset = None
    while True:
        arguments = {
            "collection_name": real,
            "limit": page,
            "offset": offset,
            "with_payload": True,
            "with_vectors": True,
        }
        records, offset = yield Call("scroll", arguments)
        points = [
            models.PointStruct(id=each.id, vector=each.vector or {}, payload=each.payload)
            for each in records
        ]
        if points:
            yield Call("upsert", {"collection_name": copy, "points": points})
        if offset is None:
            return
