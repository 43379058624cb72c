"""Making and deleting a collection of the same point ids, which holds what is added to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.qdrant.added import KINDS, Added, Entry, Kind, Place
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.record import (
    KEY,
    IndexRecord,
    forget_record,
    save_record,
)
from retrieve_rerank.connectors.qdrant.requests import PointId
from retrieve_rerank.connectors.qdrant.versions import METADATA, VECTOR_NAMES, Version
from retrieve_rerank.errors import IndexExistsError, IndexNotFoundError, PermissionDeniedError


def is_custom(info: models.CollectionInfo) -> bool:
    """Tell whether its users choose each point's shard: then every write must name it."""
    return info.config.params.sharding_method == models.ShardingMethod.CUSTOM


def wanted_for(state: State) -> bool:
    """Tell whether what is added is better kept in a companion.

    A vector without a name gets one, for good, as soon as another is added (`{"": …}`), which
    Haystack's store does not bear. What is added second is kept where the first is.
    """
    beside = [added.companion for kind in KINDS if (added := state.added(kind)) is not None]
    return (
        any(beside)
        or state.version < VECTOR_NAMES
        or isinstance(state.info.config.params.vectors, models.VectorParams)
        or is_custom(state.info)
    )


def make(
    state: State, kind: Kind, place: Place, record: IndexRecord, vectors: Mapping[str, Any]
) -> Steps[None]:
    """Make a companion with these vectors, spread over the server as the collection is.

    One that is there stays as it is. Raises PermissionDeniedError.
    """
    name = f"{state.collection}{place.suffix}"
    params = state.info.config.params
    arguments = {
        "collection_name": name,
        "shard_number": None if is_custom(state.info) else params.shard_number,
        "replication_factor": params.replication_factor,
        "write_consistency_factor": params.write_consistency_factor,
        **vectors,
    }
    try:
        if state.version >= METADATA:
            arguments["metadata"] = {KEY: record.values()}
        else:  # first, as a companion without it is not known as one
            yield from save_record(name, state.version, record)
        with suppress(IndexExistsError):
            yield Call("create_collection", arguments)
    except PermissionDeniedError as exc:
        raise PermissionDeniedError(
            f"{exc}. The {kind.called} want either changes to {state.collection} or a collection "
            f"beside it, {name}: run {kind.command} add once with a key that may make it; then one "
            "that may write to it goes on"
        ) from exc


def write(added: Added, entries: Sequence[tuple[str, Entry]], *, id_key: str | None) -> Steps[None]:
    """Write vectors and hashes, each with its document's id where points do not tell it."""
    points = [
        models.PointStruct(
            id=entry.point.id,
            vector={} if entry.vector is None else {added.place.vector: entry.vector},
            payload={added.place.hash: entry.content_hash, **({id_key: id_} if id_key else {})},
        )
        for id_, entry in entries
    ]
    yield Call("upsert", {"collection_name": added.collection, "points": points})


def delete_points(added: Added, points: Sequence[PointId]) -> Steps[None]:
    """Delete the vectors of these documents."""
    selector = models.PointIdsList(points=list(points))
    arguments = {"collection_name": added.collection, "points_selector": selector}
    yield Call("delete", arguments)


def drop(name: str, version: Version) -> Steps[None]:
    """Delete a companion and what is recorded of it."""
    with suppress(IndexNotFoundError):  # another process was faster
        yield Call("delete_collection", {"collection_name": name})
    if version < METADATA:
        yield from forget_record(name, version)
