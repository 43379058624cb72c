"""How embedding servers are asked for vectors, and how they answer: one entry for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from retrieve_rerank.network.shapes import Shape, WrongShapeError, matches, maybe, number, shape

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
    vectors: Callable[[Any], Sequence[Sequence[float]]]
    """An answer's JSON -> vectors in the order of the texts; raises WrongShapeError for another
    form."""
    dimensions: str = "dimensions"
    """Name of the parameter that asks for shorter vectors."""
    info_path: str | None = None
    """Where the server tells its model, for a server that has only one."""


def _by_index(answer: Any) -> list[list[float]]:
    matches(answer, _INDEXED)
    rows = {row["index"]: row["embedding"] for row in answer["data"]}
    if rows.keys() != set(range(len(answer["data"]))):
        raise WrongShapeError("does not have each index from 0 on once", place=".data")
    return [rows[index] for index in range(len(rows))]


def _at(*keys: str) -> Callable[[Any], list[list[float]]]:
    wanted: Shape = [[number]]
    for key in reversed(keys):
        wanted = {key: wanted}
    check = shape(wanted)

    def read(answer: Any) -> list[list[float]]:
        matches(answer, check)
        for key in keys:
            answer = answer[key]
        return list(answer)

    return read


_INDEXED = shape({"data": [{"index": int, "embedding": [number]}]})
SERVED = shape({"model_id": str, "model_sha?": maybe(str)})
"""What a server tells at `info_path`."""


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
        vectors=_at("embeddings"),
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
        vectors=_at(),
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
        vectors=_at("embeddings", "float"),
        dimensions="output_dimension",
    ),
}
"""What stands before the colon of a name -> the kind of server."""
