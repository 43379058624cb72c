"""Vectors that this library adds to a collection that is there, and where they are kept.

Either in the collection itself, as named vectors of its points, or in a companion: a collection of
the same point ids that holds these vectors and nothing else, for one that is not to be changed, or
cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from qdrant_client import models

from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.detection import multivectors, sparse_names
from retrieve_rerank.connectors.qdrant.layout import (
    ADDED_BM25,
    BM25_HASH,
    TENSOR_HASH,
    TENSOR_HASH_2,
    TENSORS,
    TENSORS_2,
)
from retrieve_rerank.connectors.qdrant.record import IndexRecord, load_record
from retrieve_rerank.connectors.qdrant.versions import Limits, Version
from retrieve_rerank.errors import IndexNotFoundError, PermissionDeniedError


class Place(NamedTuple):
    """Where vectors of a kind are kept."""

    vector: str
    """Name of the vectors."""
    hash: str
    """Payload key: hash of the text that a point's vector was made from."""
    suffix: str
    """Of the companion's name, after that of the collection."""

    def is_in(self, info: models.CollectionInfo) -> bool:
        """Tell whether a collection has room for such vectors."""
        return self.vector in (*multivectors(info), *sparse_names(info))


class Kind(NamedTuple):
    """A kind of vectors that are added."""

    called: str
    record: str
    """What of an `IndexRecord` says how they were made."""
    command: str
    places: tuple[Place, ...]
    """The first is used until vectors are made anew while others serve, which takes a second."""

    def served_in(self, record: IndexRecord) -> Place:
        """Tell where in a collection itself the vectors are that serve."""
        return self.places[record.turn % len(self.places)]

    def is_recorded(self, record: IndexRecord) -> bool:
        """Tell whether a record has such vectors as were added; our own indexes' BM25 was not."""
        own = record.schema is not None and self.record == "bm25"
        return getattr(record, self.record) is not None and not own

    def written(self, record: IndexRecord, settings: Any) -> IndexRecord:
        """Write into a record how such vectors are made; None where there are none any more."""
        changes: Any = {self.record: settings}
        if settings is None and len(self.places) > 1:
            changes |= {"draft": None, "turn": 0}
        return replace(record, **changes)


TOKEN_TENSORS = Kind(
    "token tensors",
    "tensors",
    "rr tensors",
    (
        Place(TENSORS, TENSOR_HASH, ".rr-tensors"),
        Place(TENSORS_2, TENSOR_HASH_2, ".rr-tensors-2"),
    ),
)
BM25_TERMS = Kind("BM25 vectors", "bm25", "rr lexical", (Place(ADDED_BM25, BM25_HASH, ".rr-bm25"),))
KINDS = (TOKEN_TENSORS, BM25_TERMS)


@dataclass(frozen=True, slots=True)
class Added:
    """Vectors of one kind that are there."""

    collection: str
    """Which they are in."""
    place: Place
    info: models.CollectionInfo
    settings: Any
    """How they were made: `TensorSettings` or `Bm25`."""
    companion: bool

    @property
    def limits(self) -> Limits:
        """What strict mode allows there."""
        return Limits.of(self.info)


class Entry(NamedTuple):
    """What is written to a point."""

    point: models.Record
    vector: Any
    """None for a text without any: what is there is deleted."""
    content_hash: str


def in_place(
    kind: Kind, collection: str, info: models.CollectionInfo, record: IndexRecord
) -> Added | None:
    """Find vectors that were added to the collection itself."""
    place = kind.served_in(record)
    if not kind.is_recorded(record) or not place.is_in(info):
        return None
    return Added(collection, place, info, getattr(record, kind.record), companion=False)


def find_companions(
    collection: str, version: Version, info: models.CollectionInfo, record: IndexRecord
) -> Steps[dict[Kind, Added]]:
    """Look for companions of what is not in the collection itself.

    A collection that merely has such a name is none. Of a kind in two places the first serves once
    it is complete.
    """
    wanted = [kind for kind in KINDS if in_place(kind, collection, info, record) is None]
    if record.schema is not None and BM25_TERMS in wanted:
        wanted.remove(BM25_TERMS)  # our own collections have theirs
    found: dict[Kind, Added] = {}
    for kind in wanted:
        for place in kind.places:
            there = yield from read_companion(collection, version, place)
            if there is not None and kind.is_recorded(there.record):
                settings = getattr(there.record, kind.record)
                found[kind] = Added(there.name, place, there.info, settings, companion=True)
                break
    return found


class Companion(NamedTuple):
    """A collection that was made to hold what is added to another."""

    name: str
    info: models.CollectionInfo
    record: IndexRecord


def read_companion(collection: str, version: Version, place: Place) -> Steps[Companion | None]:
    """Read a companion; None where there is none, or what has its name was not made for that."""
    name = f"{collection}{place.suffix}"
    try:
        info = yield Call("get_collection", {"collection_name": name})
    except (IndexNotFoundError, PermissionDeniedError):
        return None
    record = IndexRecord.read((yield from load_record(name, version, info)), name)
    ours = record.schema is None and record != IndexRecord() and place.is_in(info)
    return Companion(name, info, record) if ours else None
