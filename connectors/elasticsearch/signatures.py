"""Libraries that write indexes, known by what they call their fields unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from retrieve_rerank.connectors.elasticsearch.mapping import TEXT_TYPES, Index


@dataclass(frozen=True, slots=True)
class Signature:
    """What a known writer calls its fields."""

    writer: str
    text: str
    vector: str | None
    metadata: str | None
    sparse: str | None = None


def recognise(index: Index) -> Signature | None:
    """Recognise the writers whose defaults are known."""

    def has(path: str, *types: str) -> bool:
        return path in index.fields and index.fields[path].type in types

    within = {path.partition(".")[0] for path in index.fields if "." in path}
    metadata = "metadata" if "metadata" in within else None
    if has("metadata._node_content", *TEXT_TYPES, "keyword") or (
        has("content", *TEXT_TYPES) and has("embedding", "dense_vector") and metadata
    ):
        return Signature("LlamaIndex", "content", "embedding", "metadata")
    if has("vector_field", "dense_vector") and has("text_field", *TEXT_TYPES):
        return Signature("elasticsearch-py", "text_field", "vector_field", "metadata")
    if has("vector", "dense_vector") and (metadata or has("text", *TEXT_TYPES)):
        return Signature("LangChain", "text", "vector", "metadata")
    if has("vector.tokens", "sparse_vector", "rank_features") and (
        metadata or has("text", *TEXT_TYPES)
    ):
        return Signature("LangChain (sparse)", "text", None, "metadata", sparse="vector.tokens")
    if has("embedding", "dense_vector") and (
        "strings" in index.templates or has("content", *TEXT_TYPES)
    ):
        return Signature("Haystack", "content", "embedding", None)
    return None
