"""What an index of ours says of itself, kept with the collection.

From Qdrant 1.16 on it is in the collection's metadata; before, in the one point of a companion
collection, `NAME.retrieve_rerank`, so that no document's payload is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from qdrant_client import models

from retrieve_rerank.base import TensorSettings
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.versions import METADATA, Version
from retrieve_rerank.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    PermissionDeniedError,
    UnsupportedServerError,
)
from retrieve_rerank.network.shapes import Shape, WrongShapeError, matches, maybe, shape
from retrieve_rerank.network.shapes import values as values_of
from retrieve_rerank.text.template import Template

KEY = "retrieve_rerank"
"""Of the record in a collection's metadata."""

SCHEMA = 2
"""Goes up when older releases could not read what is written."""

_ENCODER: Shape = {"name": str, "fingerprint": str, "dimension": float, "source": str}
_BM25: Shape = {"language": str, "average_length": float, "k1?": float, "b?": float}
_TENSORS: Shape = {"encoder": str, "fingerprint": str, "dimension": float, "dtype": str}
_RECORD = shape(
    {
        "encoder?": maybe(_ENCODER),
        "bm25?": maybe(_BM25),
        "tensors?": maybe(_TENSORS),
        "draft?": maybe(_TENSORS),
        "turn?": float,
        "language?": maybe(str),
        "template?": str,
        "fields?": values_of(values_of(str)),
    }
)

_POINT = 0  # of the companion collection


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """How an index was made; of a collection that others made, how its tensors were."""

    schema: int | None = None
    """Version of our own schema; None where others made the collection."""
    encoder: EncoderFacts | None = None
    bm25: Bm25 | None = None
    """None until the first documents have come, which tell language and average length."""
    language: str | None = None
    """Of the documents, where the user said it."""
    template: str = Template().pattern
    """What is indexed of a document."""
    fields: Fields = field(default_factory=dict)
    """Of the metadata; may name fields of documents that are no longer there, never lack one."""
    tensors: TensorSettings | None = None
    draft: TensorSettings | None = None
    """Of token tensors that are being made in their other place, and do not serve yet."""
    turn: int = 0
    """How often such have taken over in the collection itself: tells which place serves."""

    @classmethod
    def read(cls, values: Mapping[str, Any] | None, location: str) -> Self:
        """Read a record; raise IndexMismatchError where a newer release wrote it."""
        if not values:
            return cls()
        try:
            if (values["schema"] or 0) > SCHEMA:
                raise IndexMismatchError(
                    f"{location} was written by a newer release; upgrade retrieve-rerank"
                )
            matches(values, _RECORD)
            return cls(
                **{
                    **values,
                    "encoder": EncoderFacts(**values["encoder"]) if values["encoder"] else None,
                    "bm25": Bm25(**values["bm25"]) if values["bm25"] else None,
                    "tensors": _settings(values["tensors"]),
                    "draft": _settings(values.get("draft")),
                }
            )
        except (KeyError, TypeError, WrongShapeError) as exc:
            raise IndexCorruptError(
                f"the record of {location} under {KEY!r} cannot be read ({exc}); make it anew"
            ) from exc

    def values(self) -> dict[str, Any]:
        """Word it; what only this release understands is left out where it says nothing."""
        values = asdict(self)
        for name in ("draft", "turn"):
            if not values[name]:
                del values[name]
        return values


def _settings(values: Mapping[str, Any] | None) -> TensorSettings | None:
    return TensorSettings(**values) if values else None


def load_record(collection: str, version: Version, info: models.CollectionInfo) -> Steps[Any]:
    """Fetch the values of a collection's record; None where there is none."""
    if version >= METADATA:
        return (info.config.metadata or {}).get(KEY)
    arguments = {"collection_name": companion(collection), "ids": [_POINT]}
    try:
        points = yield Call("retrieve", arguments)
    except IndexNotFoundError:
        return None
    return points[0].payload if points else None


def save_record(collection: str, version: Version, record: IndexRecord) -> Steps[None]:
    """Write a collection's record; one that says nothing is taken away."""
    if record == IndexRecord():
        yield from forget_record(collection, version)
        return
    values = record.values()
    if version >= METADATA:
        arguments = {"collection_name": collection, "metadata": {KEY: values}}
        yield Call("update_collection", arguments)
        return
    arguments = {"collection_name": companion(collection), "vectors_config": {}}
    with suppress(IndexExistsError):  # from the last time
        yield Call("create_collection", arguments)
    point = models.PointStruct(id=_POINT, vector={}, payload=values)
    yield Call("upsert", {"collection_name": companion(collection), "points": [point]})


def forget_record(collection: str, version: Version) -> Steps[None]:
    """Take a collection's record away."""
    if version >= METADATA:
        yield Call("update_collection", {"collection_name": collection, "metadata": {KEY: None}})
        return
    with suppress(IndexNotFoundError):
        yield Call("delete_collection", {"collection_name": companion(collection)})


def real_name(collection: str) -> Steps[str]:
    """Say which collection a name stands for, be it an alias.

    It is itself where aliases may not be listed: then the name alone is allowed.
    """
    try:
        known = (yield Call("get_aliases")).aliases
    except (PermissionDeniedError, UnsupportedServerError):
        return collection
    found = (each.collection_name for each in known if each.alias_name == collection)
    return next(found, collection)


def companion(collection: str) -> str:
    """Name the collection that holds another one's record on older servers."""
    return f"{collection}.{KEY}"
