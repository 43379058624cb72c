"""What an existing collection's vectors and payload are for: a pure function over its description
and a sample of its points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from qdrant_client import models

from retrieve_rerank.connectors.fields import (
    VectorField,
    pick_text,
    pick_title,
    pick_vector,
    text_statistics,
)
from retrieve_rerank.connectors.hybrid import BM25
from retrieve_rerank.connectors.qdrant.layout import (
    ADDED_BM25,
    ADDED_KEYS,
    NODE_CONTENT,
    OURS,
    Layout,
    Lexical,
)
from retrieve_rerank.connectors.qdrant.paths import paths_of
from retrieve_rerank.connectors.qdrant.qdrant_bm25 import Stored, tokens_of
from retrieve_rerank.errors import SchemaError, UnknownFieldError
from retrieve_rerank.text.field_paths import as_text

_SIMILARITIES = {
    models.Distance.COSINE: "cosine",
    models.Distance.DOT: "dot",
    models.Distance.EUCLID: "l2",
    models.Distance.MANHATTAN: "l1",
}
_LANGCHAIN, _LLAMA_INDEX, _HAYSTACK, _FASTEMBED = "LangChain", "LlamaIndex", "Haystack", "fastembed"
_MOSTLY = 0.5
_ROOTS = ("metadata", "meta")


class FieldChoice(NamedTuple):
    """What the user has said about the fields; None leaves it to detection."""

    text: str | None = None
    title: str | None = None
    vector: str | None = None
    sparse: str | None = None
    encoder: bool = False
    """Whether there is a query encoder."""
    dimension: int | None = None
    """Of the query encoder, where that is known without loading it."""
    sparse_encoder: bool = False
    """Whether there is one."""


def detect(
    info: models.CollectionInfo,
    sample: Sequence[models.Record],
    choice: FieldChoice,
    *,
    ours: bool,
    text_queries: bool,
) -> Layout:
    """Tell what is where.

    `ours` says that the collection's record is of an index of our own schema, `text_queries`
    whether the server ranks by a text index. Raises SchemaError, UnknownFieldError or
    IndexMismatchError where that cannot be told, or not as the user said.
    """
    payloads = [
        {key: value for key, value in (each.payload or {}).items() if key not in ADDED_KEYS}
        for each in sample
    ]
    layout = _signature(payloads, info, ours=ours) or _by_hand(payloads, choice)
    if choice.text is not None:
        layout = replace(layout, text=choice.text)
    layout = replace(
        layout,
        title=choice.title or layout.title,
        dense=pick_vector(vector_fields(info), asked=choice.vector, dimension=choice.dimension)
        if choice.encoder
        else None,
    )
    lexical = (
        Lexical("own", BM25)
        if ours
        else _lexical(info, sample, layout, choice, text_queries=text_queries)
    )
    return replace(layout, lexical=lexical, sparse=_sparse(info, lexical, choice))


def vector_fields(info: models.CollectionInfo) -> list[VectorField]:
    """List the fields of dense vectors, one for each point; "" is the unnamed one's name."""
    return [
        _field(info, name, each)
        for name, each in vector_params(info).items()
        if not each.multivector_config
    ]


def vector_params(info: models.CollectionInfo) -> dict[str, models.VectorParams]:
    """List all fields of dense vectors; "" is the unnamed one's name."""
    vectors = info.config.params.vectors
    return {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors or {})


def multivectors(info: models.CollectionInfo) -> dict[str, models.VectorParams]:
    """List the fields of several vectors for each point."""
    return {name: each for name, each in vector_params(info).items() if each.multivector_config}


def sparse_names(info: models.CollectionInfo) -> list[str]:
    """List the fields of sparse vectors."""
    return list(info.config.params.sparse_vectors or {})


def their_sparse_names(info: models.CollectionInfo) -> list[str]:
    """List the fields of sparse vectors that this library did not add."""
    return [name for name in sparse_names(info) if name != ADDED_BM25]


def indexed_paths(info: models.CollectionInfo) -> dict[str, str]:
    """List the payload's indexes: path -> type (keyword, integer, text, …)."""
    return {path: str(each.data_type.value) for path, each in info.payload_schema.items()}


def sparse_of(point: models.Record, name: str) -> models.SparseVector | None:
    """Take one of a point's sparse vectors; None where it has none of that name."""
    found = point.vector.get(name) if isinstance(point.vector, dict) else None
    return found if isinstance(found, models.SparseVector) else None


def is_weighed(info: models.CollectionInfo, name: str) -> bool:
    """Tell whether the server multiplies a sparse field's weights by the terms' rarity (IDF)."""
    params = (info.config.params.sparse_vectors or {}).get(name)
    return params is not None and params.modifier == models.Modifier.IDF


def scored_text_indexes(info: models.CollectionInfo) -> list[str]:
    """List the payload fields whose text index ranks by BM25."""
    return [
        path
        for path, each in info.payload_schema.items()
        if isinstance(each.params, models.TextIndexParams) and each.params.scoring
    ]


def _field(info: models.CollectionInfo, name: str, params: models.VectorParams) -> VectorField:
    quantization = params.quantization_config or info.config.quantization_config
    kind = next(iter(type(quantization).model_fields)) if quantization is not None else None
    return VectorField(
        name,
        params.size,
        _SIMILARITIES[params.distance],
        quantization=kind,
        element_type=str(params.datatype.value) if params.datatype else "float32",
    )


def _signature(
    payloads: Sequence[Mapping[str, Any]], info: models.CollectionInfo, *, ours: bool
) -> Layout | None:
    """Recognise what a known writer leaves."""
    if ours:
        return Layout(OURS, "text", "metadata.title", "metadata", "id")

    def mostly(holds: Callable[[Mapping[str, Any]], bool]) -> bool:
        return sum(map(holds, payloads)) > _MOSTLY * len(payloads)

    if mostly(lambda each: NODE_CONTENT in each):
        plain = mostly(lambda each: bool(each.get("text")))
        hidden = {"_node_type", *([NODE_CONTENT] if plain else [])}
        text = "text" if plain else NODE_CONTENT
        titles = [key for each in payloads for key in each if key not in (text, NODE_CONTENT)]
        return Layout(_LLAMA_INDEX, text, pick_title(titles), hidden=frozenset(hidden))
    if mostly(lambda each: "page_content" in each and each.keys() <= {"page_content", "metadata"}):
        return Layout(_LANGCHAIN, "page_content", _title(payloads, "metadata"), metadata="metadata")
    if mostly(lambda each: {"id", "content", "meta"} <= each.keys()):
        return Layout(_HAYSTACK, "content", _title(payloads, "meta"), metadata="meta", id="id")
    named = [*vector_params(info), *sparse_names(info)]
    if mostly(lambda each: "document" in each) and any(n.startswith("fast-") for n in named):
        return Layout(_FASTEMBED, "document", _title(payloads, None))
    return None


def _by_hand(payloads: Sequence[Mapping[str, Any]], choice: FieldChoice) -> Layout:
    if not payloads:
        return Layout("unknown", choice.text or "text")
    text = choice.text or pick_text(text_statistics(payloads))
    rest = {key for each in payloads for key in each} - {text, "title"}
    root = next((key for key in _ROOTS if rest == {key}), None)
    if root and not all(isinstance(each.get(root, {}), Mapping) for each in payloads):
        root = None
    return Layout("unknown", text, _title(payloads, root), metadata=root)


def _title(payloads: Sequence[Mapping[str, Any]], root: str | None) -> str | None:
    """Pick the title among the texts of the metadata, or of the payload beside it."""
    found = {field.name for field in text_statistics(payloads)}
    inside = {name for name in found if root is None or name.startswith(f"{root}.")}
    return pick_title(sorted(inside)) or pick_title(sorted(n for n in found if "." not in n))


def _lexical(
    info: models.CollectionInfo,
    sample: Sequence[models.Record],
    layout: Layout,
    choice: FieldChoice,
    *,
    text_queries: bool,
) -> Lexical | None:
    for name in their_sparse_names(info):
        if choice.sparse_encoder and choice.sparse == name:
            continue
        stored = []
        for each in sample:
            if (vector := sparse_of(each, name)) is not None:
                text = layout.document(each).text
                everything = as_text([text, *(each.payload or {}).values()])
                stored.append(Stored(text, everything, vector.indices))
        if (tokens := tokens_of(stored)) is not None:
            return Lexical("qdrant-bm25", name, tokens)
    scored = scored_text_indexes(info)
    if not text_queries or not scored:
        return None
    return Lexical("text-index", next((p for p in paths_of(layout.text) if p in scored), scored[0]))


def _sparse(
    info: models.CollectionInfo, lexical: Lexical | None, choice: FieldChoice
) -> str | None:
    """Pick the learned sparse vectors: those asked for, else the only ones that are not BM25's."""
    names = their_sparse_names(info)
    if choice.sparse is not None and choice.sparse not in names:
        raise UnknownFieldError(
            f"the collection has no sparse vectors named {choice.sparse!r}; "
            f"it has: {', '.join(names) or 'none'}"
        )
    if not choice.sparse_encoder:
        return None
    taken = lexical.field if lexical and lexical.kind != "text-index" else None
    left = [choice.sparse] if choice.sparse else [name for name in names if name != taken]
    if not left:
        raise SchemaError("the collection has no sparse vectors for the sparse encoder to search")
    if len(left) > 1:
        raise SchemaError(
            f"several fields hold sparse vectors: {', '.join(left)}; choose one with --sparse-field"
        )
    return left[0]
