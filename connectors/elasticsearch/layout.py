"""What the fields of an index are for, and how its documents are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.text.field_paths import as_text, value_at
from retrieve_rerank.text.language import UNKNOWN
from retrieve_rerank.types import Document

OWN = "retrieve-rerank"
"""The writer of indexes that this library made."""


class Semantic(NamedTuple):
    """A field of type semantic_text: the server embeds documents and queries itself."""

    field: str
    ranking: str
    """"dense" or "sparse"."""
    similarity: str
    model: str
    """Id of the server's inference endpoint."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the fields of an index are for."""

    writer: str
    """Who made the index: "retrieve-rerank", "LangChain", …, "unknown"."""
    text: str | None = None
    """Path of the text in a document's source; None where there is none yet."""
    title: str | None = None
    lexical: tuple[str, ...] = ()
    """Fields that a lexical query searches, the text's first."""
    combined: bool = False
    """Whether they are analysed alike, so that they can be weighed as one."""
    every_word: tuple[str, ...] = ()
    """The same fields with their stop words, for queries of nothing else; where there are any."""
    language: str = UNKNOWN
    """Of the texts; known of our own indexes."""
    chunks: str | None = None
    """Path of the list of chunks that text and vectors are in, if they are."""
    metadata: str | None = None
    """Path of the object that holds the metadata; None takes the rest of the document."""
    vector: VectorField | None = None
    sparse: str | None = None
    semantic: Semantic | None = None
    includes: tuple[str, ...] = ()
    """What is read of a document; empty for all but `excludes`."""
    excludes: tuple[str, ...] = ()
    several: bool = False
    """Whether documents of several indexes are read, whose ids begin with those indexes' names."""
    notes: tuple[str, ...] = ()

    @property
    def id_source(self) -> dict[str, Any] | bool:
        """What to fetch of documents of which only the ids are wanted."""
        return {"includes": ["id"]} if self.own else False

    @property
    def source(self) -> dict[str, Any]:
        """What to fetch of documents; never vectors."""
        parts = {"includes": list(self.includes), "excludes": list(self.excludes)}
        return {name: paths for name, paths in parts.items() if paths}

    def document(self, hit: Mapping[str, Any]) -> Document:
        """Read a document from a hit or from an answer to _mget."""
        source = hit.get("_source") or {}
        if self.own:
            metadata = source.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            return Document(self._id(hit, source), as_text(source.get("text")), metadata)
        best = _best_chunk(hit, self.chunks) if self.chunks else None
        if best is not None and self.chunks and self.text:
            text = as_text(value_at(best, self.text.removeprefix(f"{self.chunks}.")))
        else:
            text = as_text(value_at(source, self.text)) if self.text else ""
        return Document(self._id(hit, source), text, self._metadata(source))

    @property
    def own(self) -> bool:
        """Whether this library made the index."""
        return self.writer == OWN

    def _id(self, hit: Mapping[str, Any], source: Mapping[str, Any]) -> str:
        own_id = source.get("id") if self.own else None
        id_: str = own_id if isinstance(own_id, str) and own_id else hit["_id"]
        return f"{hit['_index']}/{id_}" if self.several else id_

    def _metadata(self, source: Mapping[str, Any]) -> dict[str, Any]:
        if self.metadata is not None:
            found = value_at(source, self.metadata)
            metadata = found if isinstance(found, dict) else {}
        else:
            hidden = {(path or "").partition(".")[0] for path in (self.text, self.chunks)}
            metadata = {name: value for name, value in source.items() if name not in hidden}
        if self.title and "title" not in metadata:
            title = as_text(value_at(source, self.title))
            return {"title": title, **metadata} if title else metadata
        return metadata


def _best_chunk(hit: Mapping[str, Any], chunks: str) -> Mapping[str, Any] | None:
    found = hit.get("inner_hits", {}).get(chunks, {}).get("hits", {}).get("hits", ())
    return found[0].get("_source") if found else None
