"""Where a collection keeps what documents are made of, and reading them from there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qdrant_client import models

from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.point_ids import point_id as own_point_id
from retrieve_rerank.connectors.qdrant.paths import roots_of, writable
from retrieve_rerank.connectors.qdrant.qdrant_bm25 import DEFAULT, Tokens
from retrieve_rerank.connectors.records import uuid_of
from retrieve_rerank.text.field_paths import as_text, value_at
from retrieve_rerank.types import Document

OURS = "retrieve-rerank"
"""The writer of an index of our own schema."""

TENSORS = "_rr_tokens"
"""Name of the multivector with token tensors."""

TENSOR_HASH = "_rr_tensor_hash"
"""Payload key: hash of the text that a point's tensor was made from."""

TENSORS_2, TENSOR_HASH_2 = f"{TENSORS}_2", f"{TENSOR_HASH}_2"
"""Those of tensors that are made while others serve, whose place they take; the next time the
first names are free again."""

ADDED_BM25 = "_rr_bm25"
"""Name of the sparse vectors of our BM25 that are added to a collection of others."""

BM25_HASH = "_rr_bm25_hash"
"""Payload key: hash of the text that these were made from."""

ADDED_KEYS = frozenset({TENSOR_HASH, TENSOR_HASH_2, BM25_HASH})
"""What is added to payloads, and is none of a document's metadata."""

NODE_CONTENT = "_node_content"
"""Payload key of LlamaIndex: a node as JSON, often the only place of its text."""

HAYSTACK_NAMESPACE = uuid.UUID("3896d314-1e95-4a3a-b45a-945f9f0b541d")
"""From which its QdrantDocumentStore makes a point's id."""

_LARGEST = 2**64 - 1  # of the ids that are numbers

LexicalKind = Literal["own", "qdrant-bm25", "text-index"]


@dataclass(frozen=True, slots=True)
class Lexical:
    """What ranks by words."""

    kind: LexicalKind
    """Our sparse vectors, those of Qdrant's and fastembed's `Qdrant/bm25`, or a payload index."""
    field: str
    """Name of the sparse vectors, or path of the indexed text."""
    tokens: Tokens = DEFAULT
    """How `Qdrant/bm25` made them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a collection's vectors and payload keys are for."""

    writer: str
    text: str
    """Path of the text."""
    title: str | None = None
    """Path of the title."""
    metadata: str | None = None
    """Key of the object that is a document's metadata; None for the whole payload."""
    id: str | None = None
    """Key of a document's id; None for the point's own."""
    hidden: frozenset[str] = frozenset()
    """Keys that are never fetched: what the writer keeps for itself."""
    dense: VectorField | None = None
    """Vectors to search, if there is a query encoder."""
    lexical: Lexical | None = None
    sparse: str | None = None
    """Name of learned sparse vectors, if there is an encoder for them."""

    def point_id(self, document_id: str) -> str | int | None:
        """Tell the point's id from the document's; None for what cannot be one.

        A document's id is a point's as Qdrant writes it: other spellings of a UUID are unknown.
        """
        if self.writer == OURS:
            return own_point_id(document_id)
        if self.id is not None:  # Haystack's
            return str(uuid_of(HAYSTACK_NAMESPACE, document_id))
        point = _read_point_id(document_id)
        return point if str(point) == document_id else None

    def document_id(self, point: models.Record | models.ScoredPoint) -> str:
        """Read a point's document id."""
        payload = point.payload or {}
        return str(payload[self.id]) if self.id and self.id in payload else str(point.id)

    def document(self, point: models.Record | models.ScoredPoint) -> Document:
        """Read a point's document; what it lacks is empty."""
        payload = point.payload or {}
        if self.writer == OURS:  # there is little to find out, and this runs for every hit
            id_, text, of = payload.get("id"), payload.get("text"), payload.get("metadata")
            if type(id_) is str and type(text) is str and type(of) is dict:
                return Document(id_, text, of)
        metadata = self.metadata_of(payload)
        if self.title and (title := as_text(value_at(payload, self.title))):
            metadata.setdefault("title", title)
        return Document(self.document_id(point), self._text(payload), metadata)

    def metadata_of(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Take a payload's metadata as it lies there, which is what filters are over."""
        if self.metadata is not None:
            found = payload.get(self.metadata)
            return dict(found) if isinstance(found, Mapping) else {}
        apart = {*self.hidden, *ADDED_KEYS, self.text, self.id}
        return {key: value for key, value in payload.items() if key not in apart}

    def path(self, of_metadata: str) -> str:
        """Return where in the payload a path of the metadata is."""
        return f"{self.metadata}.{of_metadata}" if self.metadata else of_metadata

    @property
    def id_selector(self) -> list[str] | bool:
        """What tells a document's id, fetched of a payload."""
        return [self.id] if self.id else False

    @property
    def selector(self) -> models.PayloadSelectorInclude | models.PayloadSelectorExclude:
        """What is fetched of a payload."""
        named = [self.text, *([self.title] if self.title else [])]
        if self.metadata is None or not all(map(writable, named)):
            return models.PayloadSelectorExclude(exclude=sorted(self.hidden | ADDED_KEYS))
        roots = {root for name in named for root in roots_of(name)}
        wanted = {*roots, self.metadata, *([self.id] if self.id else [])}
        return models.PayloadSelectorInclude(include=sorted(wanted))

    def _text(self, payload: Mapping[str, Any]) -> str:
        if self.text != NODE_CONTENT:
            return as_text(value_at(payload, self.text))
        try:
            node = json.loads(payload.get(NODE_CONTENT) or "{}")
        except (TypeError, ValueError):
            return ""
        return as_text(node.get("text")) if isinstance(node, dict) else ""


def _read_point_id(text: str) -> str | int | None:
    if text.isascii() and text.isdecimal():
        return int(text) if len(text) <= len(str(_LARGEST)) and int(text) <= _LARGEST else None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
