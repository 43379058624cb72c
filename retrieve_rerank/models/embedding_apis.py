"""How embedding servers are asked for vectors, and how they answer: one entry for each kind.

Knows nothing of connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class EmbeddingApi:
    """One kind of server."""

    path: str
    """Where texts are posted to, after the base URL."""
    key_variable: str
    """Environment variable of the key, sent as a bearer token where it is set."""
    url_variable: str | None
    """Environment variable of the base URL; None where the URL stands in place of a model."""
    default_url: str
    batch: int
    """Most texts in one request."""
    body: Callable[[str, Sequence[str], Side], dict[str, Any]]
    """(model, texts, side) -> what is posted."""
    vectors: Callable[[Any], Sequence[Any]]
    """An answer's JSON -> vectors in the order of the texts; fails on other shapes."""
    dimensions: str = "dimensions"
    """Name of the parameter that asks for shorter vectors."""
    info_path: str | None = None
    """Where the server tells its model, for a server that has only one."""


def _by_index(answer: Any) -> list[Any]:
    rows = {row["index"]: row["embedding"] for row in answer["data"]}
    return [rows[index] for index in range(len(answer["data"]))]


APIS: Mapping[str, EmbeddingApi] = {
    # https://platform.openai.com/docs/api-reference/embeddings: at most 300,000 tokens in a
    # request, of 8,192 each. vLLM, llama.cpp, LM Studio and many others offer the same.
    "openai": EmbeddingApi(
        path="embeddings",
        url_variable="OPENAI_BASE_URL",
        default_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        batch=32,
        body=lambda model, texts, side: {"model": model, "input": list(texts)},
        vectors=_by_index,
    ),
    # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings
    "ollama": EmbeddingApi(
        path="api/embed",
        url_variable="OLLAMA_HOST",
        default_url="http://127.0.0.1:11434",
        key_variable="OLLAMA_API_KEY",
        batch=32,
        body=lambda model, texts, side: {"model": model, "input": list(texts)},
        vectors=lambda answer: list(answer["embeddings"]),
    ),
    # https://huggingface.github.io/text-embeddings-inference: at most 32 texts by default, and
    # an error for long ones unless `truncate`.
    "tei": EmbeddingApi(
        path="embed",
        url_variable=None,
        default_url="",
        key_variable="TEI_API_KEY",
        batch=32,
        body=lambda model, texts, side: {"inputs": list(texts), "truncate": True},
        vectors=list,
        info_path="info",
    ),
    # https://docs.cohere.com/reference/embed: at most 96 texts.
    "cohere": EmbeddingApi(
        path="v2/embed",
        url_variable="CO_API_URL",
        default_url="https://api.cohere.com",
        key_variable="CO_API_KEY",
        batch=96,
        body=lambda model, texts, side: {
            "model": model,
            "texts": list(texts),
            "input_type": f"search_{side}",
            "embedding_types": ["float"],
        },
        vectors=lambda answer: list(answer["embeddings"]["float"]),
        dimensions="output_dimension",
    ),
}
"""What stands before the colon of a name -> the kind of server."""
