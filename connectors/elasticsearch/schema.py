"""Indexes that this library makes: their mapping, and documents as they keep them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any

from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.elasticsearch.filter_fields import LEAVES, leaf
from retrieve_rerank.connectors.elasticsearch.layout import OWN, Layout
from retrieve_rerank.connectors.elasticsearch.look_alikes import (
    EVERY_WORD,
    LOOK_ALIKES,
    look_alikes,
)
from retrieve_rerank.connectors.elasticsearch.mapping import Index
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.lexical import K1, B
from retrieve_rerank.connectors.records import Record, leaves
from retrieve_rerank.errors import IndexMismatchError
from retrieve_rerank.network.shapes import WrongShapeError, maybe, shape
from retrieve_rerank.text.language import UNKNOWN

META = "retrieve_rerank"
"""Key of what we record in a mapping's `_meta`."""

SCHEMA = 1
"""Goes up when older releases could not read what is written."""

_VERSIONED = shape({"schema?": int})
_RECORDED = shape(
    {
        "encoder?": maybe({"name": str, "fingerprint": str, "dimension": int, "source": str}),
        "language?": maybe(str),
    }
)

VECTOR, HASH = "vector", "hash"

_MAX_ID_BYTES = 512  # of `_id`; a longer one is refused
_LONGEST_KEYWORD = 8191  # characters, which may take 4 bytes each of the 32,766 that Lucene takes
_LEAF_TYPES = {
    "string": "keyword",
    "date": "long",  # microseconds since 1970: the server's own dates lose what is finer than a ms
    "integer": "long",
    "float": "double",
    "boolean": "boolean",
}

# The server's built-in analysers, by the names of `detect_language`; the others' are standard.
# https://www.elastic.co/docs/reference/text-analysis/analysis-lang-analyzer
_ANALYSERS = {
    **{
        name: name
        for name in (
            *("arabic", "armenian", "basque", "bengali", "bulgarian", "catalan", "czech"),
            *("danish", "dutch", "english", "estonian", "finnish", "french", "galician"),
            *("german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian"),
            *("latvian", "lithuanian", "norwegian", "persian", "portuguese", "romanian"),
            *("russian", "serbian", "spanish", "swedish", "thai", "turkish"),
        )
    },
    **dict.fromkeys(("chinese", "japanese", "korean"), "cjk"),
}


def new_index(encoder: EncoderFacts | None, language: str | None) -> dict[str, Any]:
    """Word the index to make; its texts are declared once their language is known."""
    properties: dict[str, Any] = {
        "id": {"type": "keyword", "index": False, "doc_values": False},
        HASH: {"type": "keyword", "index": False, "doc_values": False},
        "metadata": {"type": "object", "enabled": False},
        LEAVES: {
            "type": "object",
            "dynamic": True,
            "properties": {
                kind: {"type": "object", "dynamic": True, "subobjects": False}
                for kind in _LEAF_TYPES
            },
        },
    }
    if encoder is not None:
        properties[VECTOR] = {
            "type": "dense_vector",
            "dims": encoder.dimension,
            "similarity": "cosine",
        }
    mappings: dict[str, Any] = {
        "_meta": meta(encoder, language),
        "dynamic": False,
        "dynamic_templates": [
            {
                f"{LEAVES}_{kind}": {
                    "path_match": f"{LEAVES}.{kind}.*",
                    "mapping": {"type": type_}
                    | ({"ignore_above": _LONGEST_KEYWORD} if type_ == "keyword" else {}),
                }
            }
            for kind, type_ in _LEAF_TYPES.items()
        ],
        "properties": properties | (texts(language) if language else {}),
    }
    return {
        "settings": {
            "index": {
                "similarity": {"default": {"type": "BM25", "k1": K1, "b": B}},
                # Documents with more fields than the limit are kept; the rest is not filtered by.
                "mapping": {"total_fields": {"ignore_dynamic_beyond_limit": True}},
            }
        },
        "mappings": mappings,
    }


def texts(language: str) -> dict[str, Any]:
    """Declare text and title for documents in a language."""
    field = {"type": "text", "analyzer": _ANALYSERS.get(language, "standard")}
    # Without positions, of which no query asks.
    every = {"type": "text", "analyzer": "standard", "index_options": "freqs"}
    whole = {**field, "fields": {EVERY_WORD: every}}
    return {"text": whole, "title": whole, LOOK_ALIKES: field}


def meta(encoder: EncoderFacts | None, language: str | None) -> dict[str, Any]:
    """Word what an index records of itself."""
    facts = asdict(encoder) if encoder else None
    return {META: {"schema": SCHEMA, "encoder": facts, "language": language}}


def recorded_encoder(index: Index) -> EncoderFacts | None:
    """Read which encoder an index was made with."""
    facts = (each.get("encoder") for each in _records(index).values())
    names = [field.name for field in fields(EncoderFacts)]
    kept = ({name: each[name] for name in names} for each in facts if each)
    return next((EncoderFacts(**each) for each in kept), None)


def own_layout(index: Index) -> Layout | None:
    """Return the layout of an index that this library made, None for any other.

    Raises IndexMismatchError for one that a newer release has made, and for several that were
    not made alike.
    """
    records = _records(index)
    if not records:
        return None
    if any(each.get("schema", SCHEMA) > SCHEMA for each in records.values()):
        raise IndexMismatchError(
            f"{', '.join(index.indexes)} was written by a newer release; upgrade "
            "retrieve-rerank, or make the index anew with this one"
        )
    if foreign := sorted(index.indexes.keys() - records):
        raise IndexMismatchError(
            f"{', '.join(records)} was made by this library and {', '.join(foreign)} was not: "
            "their documents are not read alike. Name indexes of one kind"
        )
    encoders = {
        facts["fingerprint"]: f"{name} with {facts['name']}"
        for name, each in records.items()
        if (facts := each.get("encoder"))
    }
    if len(encoders) > 1:
        raise IndexMismatchError(
            f"the indexes were made with different encoders ({', '.join(encoders.values())}), of "
            "which no query can be for both. Name indexes of one encoder"
        )
    vectors = {each.name: each for each in index.vectors()}
    return Layout(
        writer=OWN,
        text="text",
        title="metadata.title",
        lexical=tuple(each for each in ("text", "title", LOOK_ALIKES) if each in index.fields),
        every_word=tuple(
            path for each in ("text", "title") if (path := f"{each}.{EVERY_WORD}") in index.fields
        ),
        language=recorded_language(index),
        combined=True,
        metadata="metadata",
        vector=vectors.get(VECTOR),
        includes=("id", "text", "metadata"),
    )


def recorded_language(index: Index) -> str:
    """Say what language the texts are analysed as; "unknown" as long as there are none."""
    languages = {str(each.get("language") or UNKNOWN) for each in _records(index).values()}
    languages.discard(UNKNOWN)
    return ", ".join(sorted(languages)) or UNKNOWN


def _records(index: Index) -> dict[str, Mapping[str, Any]]:
    """Return what the concrete indexes that this library made record of themselves.

    Raises IndexMismatchError where that is nothing that it writes.
    """
    found = {name: meta.get(META) for name, meta in index.metas.items()}
    records = {name: each for name, each in found.items() if isinstance(each, dict)}
    for name, each in records.items():
        try:
            _VERSIONED([each])
            if each.get("schema", SCHEMA) <= SCHEMA:
                _RECORDED([each])
        except WrongShapeError as exc:
            raise IndexMismatchError(
                f"what {name} records of itself cannot be: {exc.within(f'._meta.{META}')}; "
                "make it anew"
            ) from exc
    return {**records}


def key(id_: str) -> str:
    """Return the `_id` of a document: its id, or a hash of one that is too long.

    Of what no document can be called, nothing and half surrogate pairs, too: it is to be unknown.
    """
    with suppress(UnicodeEncodeError):
        if 0 < len(id_.encode()) <= _MAX_ID_BYTES:
            return id_
    encoded = id_.encode(errors="surrogatepass")
    return f"blake2b:{hashlib.blake2b(encoded, digest_size=32).hexdigest()}"


def keeps_dates(index: Index) -> bool:
    """Tell whether an index has a place for dates; those of older releases have none."""
    return f"{LEAVES}_date" in index.templates


def source(
    record: Record, vector: Vectors | None, *, language: str = UNKNOWN, dates: bool = True
) -> dict[str, Any]:
    """Word a document: whole in `text` and `metadata`, and taken apart for searches."""
    filters: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for found in leaves(record.metadata):
        if found.name:
            kind, name, value = leaf(found, dates=dates)
            filters[kind][name].append(value)
    body: dict[str, Any] = {
        "text": record.text,
        "title": record.document.title,
        "metadata": record.metadata,
        LEAVES: filters,
        HASH: record.content_hash,
    }
    if alike := look_alikes(f"{record.document.title}\n{record.text}", language):
        body[LOOK_ALIKES] = alike
    if key(record.id) != record.id:
        body["id"] = record.id
    if vector is not None:
        body[VECTOR] = [float(each) for each in vector]
    return body
