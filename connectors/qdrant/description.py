"""What `rr info` shows of a Qdrant collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.connectors.field_types import field_types
from retrieve_rerank.connectors.qdrant.added import BM25_TERMS, KINDS, TOKEN_TENSORS
from retrieve_rerank.connectors.qdrant.detection import (
    is_weighed,
    multivectors,
    sparse_names,
    vector_fields,
)
from retrieve_rerank.connectors.qdrant.layout import NODE_CONTENT
from retrieve_rerank.connectors.qdrant.opening import Options, State
from retrieve_rerank.connectors.qdrant.qdrant_bm25 import Tokens
from retrieve_rerank.connectors.qdrant.versions import TEXT_QUERY

_KINDS = {TOKEN_TENSORS: "tensors", BM25_TERMS: "lexical"}
_LOCAL_MODE_BEARS = 20_000  # points; above, the client itself warns


def describe(state: State, options: Options, *, location: str, documents: int) -> IndexSchema:
    """Gather what the server says and what was told from it."""
    layout, info, record = state.layout, state.info, state.record
    lexical = layout.lexical
    dense = layout.dense if state.encoder.exists else None
    language = state.bm25.language if state.bm25 else record.language
    details: dict[str, Any] = {
        "engine": "Qdrant",
        "version": ".".join(map(str, state.version)),
        "licence": "Apache-2.0",
        "status": str(info.status.value),
        "writer": layout.writer,
        "text_field": layout.text,
        "title_field": layout.title,
        "vector_fields": [
            {
                "name": each.name,
                "dimension": each.dimension,
                "similarity": each.similarity,
                "element_type": each.element_type,
                "quantization": each.quantization,
                "used": dense is not None and each.name == dense.name,
            }
            for each in vector_fields(info)
        ],
        "sparse_fields": [
            {"name": name, "idf": is_weighed(info, name)} for name in sparse_names(info)
        ],
        "lexical": _lexical(state),
        "payload_indexes": state.indexed,
        "indexed_vectors": info.indexed_vectors_count,
        "segments": info.segments_count,
        "fusion": {"method": options.fusion.method, "weights": dict(options.fusion.weights)},
    }
    if (tensors := state.tensors) is not None:
        details["tensors"] = {
            "field": tensors.place.vector,
            **asdict(tensors.settings),
        }
    if record.encoder:
        details["fingerprint"] = record.encoder.fingerprint
    strict = info.config.strict_mode_config
    if strict is not None and strict.enabled:
        if not state.limits.exact:
            details["document_count"] = "the server's estimate, as it counts nothing exactly"
        details["strict_mode"] = strict.model_dump(exclude_none=True)
    return IndexSchema(
        connector=location.partition("://")[0],
        location=location,
        documents=documents,
        rankings=tuple(state.rankings),
        encoder=state.encoder.name if dense else None,
        dimension=dense.dimension if dense else None,
        token_tensors=state.tensors is not None,
        fields=field_types(state.fields),
        language=language or (lexical.tokens.language if lexical else None),
        kept_in={_KINDS[kind]: each.collection for kind in KINDS if (each := state.added(kind))},
        details=details,
        notes=tuple(_notes(state, documents, location=location)),
    )


def _lexical(state: State) -> dict[str, Any] | None:
    """Say what ranks by words, where that is kept, and how its tokens are made if unusual."""
    lexical = state.layout.lexical
    if lexical is None:
        return None
    usual = asdict(Tokens(lexical.tokens.language, stopwords=lexical.tokens.stopwords))
    unusual = {n: v for n, v in asdict(lexical.tokens).items() if v != usual[n]}
    return {"kind": lexical.kind, "field": lexical.field, **unusual}


def _is_ours(state: State, name: str) -> bool:
    """Tell whether multivectors are those that serve here, or such as are being made or removed."""
    there = state.tensors
    places = [place.vector for place in TOKEN_TENSORS.places]
    return there is not None and not there.companion and name in places


def _called(vectors: str) -> str:
    return f"`{vectors}`" if vectors else "the unnamed field"


def _notes(state: State, documents: int, *, location: str) -> Iterator[str]:
    """Say what is there and not used, and what it takes to use it."""
    layout, info = state.layout, state.info
    used = layout.dense.name if layout.dense and state.encoder.exists else None
    for each in vector_fields(info):
        if each.name != used:
            how = (
                "choose them with --vector-field"
                if used is not None
                else "name the encoder they were made with, with --encoder"
            )
            yield (
                f"vectors in {_called(each.name)} ({each.dimension} dimensions) are not searched: "
                f"{how}"
            )
    for name in multivectors(info):
        if not _is_ours(state, name):
            yield (
                f"the multivectors in `{name}` are not used: who made them is not recorded; "
                "rr tensors add makes some for MaxSim"
            )
    lexical = layout.lexical
    for name in sparse_names(info):
        if name not in (layout.sparse, lexical.field if lexical else None):
            yield (
                f"sparse vectors in `{name}` are not searched: name the model they were made "
                "with, with --sparse-encoder"
            )
    plain = lexical is not None and lexical.kind == "qdrant-bm25"
    if plain and lexical and not is_weighed(info, lexical.field):
        yield (
            f"the sparse vectors in `{lexical.field}` are BM25's without the terms' rarity: "
            "update the collection with modifier=IDF for them, which takes no re-indexing"
        )
    if lexical is None and not state.empty:
        index = (
            ""
            # In a node's JSON letters beyond ASCII are escapes, of which an index makes no words.
            if state.version < TEXT_QUERY or layout.text == NODE_CONTENT
            else (
                ", or make a text index with scoring over "
                f"`{layout.text}` (create_payload_index with TextIndexParams(type='text', "
                "scoring=True))"
            )
        )
        yield (
            "there is no lexical ranking, so that codes and names may not be found: rr lexical add "
            f"--index {location} computes one{index}"
        )
    if location.startswith("qdrant+local") and documents > _LOCAL_MODE_BEARS:
        yield (
            f"local mode compares a query with each of the {documents} documents: use a server, "
            "or the embedded index"
        )
