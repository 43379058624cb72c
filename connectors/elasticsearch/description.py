"""What `rr info` shows of an index at a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from retrieve_rerank.base import IndexSchema, TensorSettings
from retrieve_rerank.connectors.elasticsearch.mapping import Index
from retrieve_rerank.connectors.elasticsearch.opening import Opened, Options
from retrieve_rerank.connectors.elasticsearch.schema import recorded_language
from retrieve_rerank.connectors.field_types import field_types
from retrieve_rerank.connectors.hybrid import DENSE

_NAME = "elasticsearch"


def describe(
    opened: Opened,
    options: Options,
    *,
    documents: int,
    license: str | None,
    tensors: TensorSettings | None,
    sidecar: str,
    notes: Sequence[str],
) -> IndexSchema:
    """Gather what the server says and what was made of it."""
    layout, rankings = opened.layout, options.rankings(opened)
    vector = layout.vector
    dense = vector is not None and DENSE in rankings
    details: dict[str, Any] = {
        "engine": "Elasticsearch",
        "version": opened.server.version,
        "licence": license,
        "indexes": list(opened.index.indexes),
        "writer": layout.writer,
        "text_field": layout.text,
        "title_field": layout.title,
        "lexical_fields": list(layout.lexical),
        "vector_fields": [
            {
                "name": each.name,
                "dimension": each.dimension,
                "similarity": each.similarity,
                "quantization": each.quantization,
                "element_type": each.element_type,
                "used": dense and each.name == vector.name if vector else False,
            }
            for each in opened.index.vectors()
        ],
        "sparse_fields": [each.path for each in opened.index.of_type("sparse_vector")],
        "semantic_field": layout.semantic.field if layout.semantic else None,
        "tensors": asdict(tensors) if tensors else None,
        "fusion": {
            "method": options.fusion.method,
            "weights": dict(options.fusion.weights),
        },
    }
    return IndexSchema(
        connector=_NAME,
        location=opened.location,
        documents=documents,
        rankings=rankings,
        encoder=opened.encoder.name if vector else None,
        dimension=vector.dimension if vector else None,
        token_tensors=tensors is not None,
        fields=field_types(opened.filters.fields),
        language=recorded_language(opened.index) if layout.own else None,
        kept_in={"tensors": sidecar} if tensors else {},
        details=details,
        notes=[*layout.notes, *_unused(opened, rankings), *notes],
    )


def _unused(opened: Opened, rankings: Sequence[str]) -> list[str]:
    """Say of what is there, and not searched, what it takes to search it."""
    layout, notes = opened.layout, []
    if layout.vector is not None and not opened.encoder.exists:
        notes.append(
            f"vectors in `{layout.vector.name}` ({layout.vector.dimension} dimensions) are not "
            "searched: name the encoder they were made with, with --encoder"
        )
    elif layout.vector is not None and not layout.vector.searchable:
        notes.append(
            f"vectors in `{layout.vector.name}` are not indexed: each search compares with all of "
            "them, which takes scripts and time"
        )
    if layout.sparse and "sparse" not in rankings:
        notes.append(
            f"learned sparse vectors in `{layout.sparse}` are not searched: name the model they "
            "were made with, with --sparse-encoder"
        )
    notes += [f"`{path}` holds what no search here uses" for path in _others(opened.index)]
    return notes


def _others(index: Index) -> list[str]:
    return [each.path for each in index.of_type("rank_vectors", "rank_features")]
