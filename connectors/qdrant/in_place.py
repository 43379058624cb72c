"""Vectors that are added to the points of a collection itself: written and taken away.

Where the shards are its users' own, each point is written to by the key of its shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.qdrant.added import Entry, Place
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.companions import is_custom
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.requests import PointId


def find(state: State, points: Sequence[PointId]) -> Steps[list[models.Record]]:
    """Find out which of these points there are, and in which shards where those are custom."""
    if not points:
        return []
    where: dict[str, Any] = {"collection_name": state.collection, "with_payload": False}
    if not is_custom(state.info):
        records: list[models.Record] = yield Call("retrieve", {**where, "ids": list(points)})
        return records
    found: list[models.Record] = []
    step = int(min(len(points), state.limits.query, state.limits.condition))
    for start in range(0, len(points), step):
        some = list(points[start : start + step])
        ids = models.Filter(must=[models.HasIdCondition(has_id=some)])
        page, _ = yield Call("scroll", {**where, "scroll_filter": ids, "limit": step})
        found += page
    return found


def write(state: State, place: Place, entries: Sequence[Entry]) -> Steps[None]:
    """Write vectors and hashes to points."""
    operations: list[models.UpdateOperation] = []
    for shard, group in _by_shard(entries):
        with_vector = [each for each in group if each.vector is not None]
        without = [each.point.id for each in group if each.vector is None]
        if with_vector:
            vectors = [
                models.PointVectors(id=each.point.id, vector={place.vector: each.vector})
                for each in with_vector
            ]
            update = models.UpdateVectors(points=vectors, shard_key=shard)
            operations.append(models.UpdateVectorsOperation(update_vectors=update))
        if without:
            deletion = models.DeleteVectors(points=without, vector=[place.vector], shard_key=shard)
            operations.append(models.DeleteVectorsOperation(delete_vectors=deletion))
        operations += [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload={place.hash: each.content_hash}, points=[each.point.id], shard_key=shard
                )
            )
            for each in group
        ]
    arguments = {"collection_name": state.collection, "update_operations": operations}
    yield Call("batch_update_points", arguments)


def delete(state: State, place: Place, points: Sequence[models.Record]) -> Steps[None]:
    """Delete the vectors of points."""
    yield from forget(state, place, points)
    for shard, ids in _ids_by_shard(points):
        selector = {"points": ids, "shard_key_selector": shard}
        arguments = {"collection_name": state.collection, "vectors": [place.vector], **selector}
        yield Call("delete_vectors", arguments)


def forget(state: State, place: Place, points: Sequence[models.Record]) -> Steps[None]:
    """Delete the hashes of points: without one, a vector counts as missing, never as right."""
    for shard, ids in _ids_by_shard(points):
        selector = {"points": ids, "shard_key_selector": shard}
        arguments = {"collection_name": state.collection, "keys": [place.hash], **selector}
        yield Call("delete_payload", arguments)


def forget_all(state: State, place: Place) -> Steps[None]:
    """Delete all hashes at once, where shards are the server's own matter."""
    everything = models.FilterSelector(filter=models.Filter())
    arguments = {"collection_name": state.collection, "keys": [place.hash], "points": everything}
    yield Call("delete_payload", arguments)


def remove_room(state: State, place: Place) -> Steps[None]:
    """Take the vectors out of the collection."""
    arguments = {"collection_name": state.collection, "vector_name": place.vector}
    yield Call("delete_vector_name", arguments)


def _ids_by_shard(
    points: Sequence[models.Record],
) -> Iterator[tuple[models.ShardKey | None, list[PointId]]]:
    for shard, group in _by_shard([Entry(each, None, "") for each in points]):
        yield shard, [each.point.id for each in group]


def _by_shard(entries: Sequence[Entry]) -> Iterator[tuple[models.ShardKey | None, list[Entry]]]:
    groups: dict[models.ShardKey | None, list[Entry]] = {}
    for each in entries:
        groups.setdefault(each.point.shard_key, []).append(each)
    return iter(groups.items())
