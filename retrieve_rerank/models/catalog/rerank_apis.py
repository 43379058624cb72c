"""How reranking services are asked for scores, and how they answer: one entry for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieve_rerank.network.shapes import Shape, matches, number, shape


@dataclass(frozen=True, slots=True)
class RerankApi:
    """One kind of service."""

    path: str
    """Where texts are posted to, after the base URL."""
    key_variable: str
    """Environment variable of the key, sent as a bearer token where it is set."""
    url_variable: str | None
    """Environment variable of the base URL; None where the URL stands in place of a model."""
    default_url: str
    batch: int
    """Most documents in one request."""
    body: Callable[[str | None, str, Sequence[str]], dict[str, Any]]
    """(model, query, texts) -> what is posted; the model may be None where a URL names it."""
    scores: Callable[[Any], list[tuple[int, float]]]
    """An answer's JSON -> (index, score), in any order; raises WrongShapeError for another form."""
    characters: int | None = None
    """Most characters in one request, the query counted once for each document."""
    pointwise: bool = True
    """Whether a document's score depends on the query and that document alone."""
    named_weights: bool = False
    """Whether a model's name always stands for the same weights."""
    info_path: str | None = None
    """Where the server tells which weights it runs."""


def _rows(*, results: str | None, score: str) -> Callable[[Any], list[tuple[int, float]]]:
    found: Shape = [{"index": int, score: number}]
    check = shape(found if results is None else {results: found})

    def read(answer: Any) -> list[tuple[int, float]]:
        matches(answer, check)
        rows = answer if results is None else answer[results]
        return [(row["index"], row[score]) for row in rows]

    return read


def _model_query_documents(model: str | None, query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"model": model, "query": query, "documents": list(texts)}


def _cohere(path: str) -> RerankApi:
    return RerankApi(
        path=path,
        key_variable="CO_API_KEY",
        url_variable="CO_API_URL",
        default_url="https://api.cohere.com",
        batch=1000,
        body=_model_query_documents,
        scores=_rows(results="results", score="relevance_score"),
        named_weights=True,
    )


def _vllm(*, path: str, query: str, documents: str, results: str, score: str) -> RerankApi:
    return RerankApi(
        path=path,
        key_variable="VLLM_API_KEY",
        url_variable=None,
        default_url="",
        batch=1000,
        body=lambda model, asked, texts: {
            **({} if model is None else {"model": model}),
            query: asked,
            documents: list(texts),
            "truncate_prompt_tokens": -1,
            "use_activation": False,
        },
        scores=_rows(results=results, score=score),
    )


RERANK_APIS: Mapping[str, RerankApi] = {
    # https://docs.cohere.com/reference/rerank: at most 1,000 documents are recommended; long
    # ones are cut at 4,096 tokens.
    "cohere": _cohere("v2/rerank"),
    # https://docs.cohere.com/v1/reference/rerank, which other servers offer too.
    "cohere-v1": _cohere("v1/rerank"),
    # https://api.jina.ai/redoc, https://jina.ai/reranker. jina-reranker-v3 reads the documents
    # of a request together, https://arxiv.org/abs/2509.25085.
    "jina": RerankApi(
        path="v1/rerank",
        key_variable="JINA_API_KEY",
        url_variable="JINA_API_URL",
        default_url="https://api.jina.ai",
        batch=1000,
        body=lambda model, query, texts: {
            **_model_query_documents(model, query, texts),
            "return_documents": False,
        },
        scores=_rows(results="results", score="relevance_score"),
        pointwise=False,
    ),
    # https://docs.voyageai.com/reference/reranker-api: at most 1,000 documents, and 600,000
    # tokens, the query's counted for each document. A token has at least a character.
    "voyage": RerankApi(
        path="v1/rerank",
        key_variable="VOYAGE_API_KEY",
        url_variable="VOYAGE_API_URL",
        default_url="https://api.voyageai.com",
        batch=1000,
        characters=600_000,
        body=lambda model, query, texts: {
            **_model_query_documents(model, query, texts),
            "truncation": True,
        },
        scores=_rows(results="data", score="relevance_score"),
        named_weights=True,
    ),
    # https://huggingface.github.io/text-embeddings-inference: at most 32 texts by default
    # (--max-client-batch-size), and an error for long ones unless `truncate`. Without
    # `raw_scores` they pass through a sigmoid, in which the best ones run together.
    "tei": RerankApi(
        path="rerank",
        key_variable="TEI_API_KEY",
        url_variable=None,
        default_url="",
        batch=32,
        body=lambda model, query, texts: {
            "query": query,
            "texts": list(texts),
            "raw_scores": True,
            "truncate": True,
        },
        scores=_rows(results=None, score="score"),
        info_path="info",
    ),
    # https://docs.vllm.ai/en/latest/models/pooling_models/scoring.html. It refuses long texts
    # unless told where to cut them: -1 is where the model ends. Without `use_activation` older
    # versions answer after a sigmoid all the same.
    "vllm": _vllm(
        path="rerank",
        query="query",
        documents="documents",
        results="results",
        score="relevance_score",
    ),
    "vllm-score": _vllm(
        path="score", query="text_1", documents="text_2", results="data", score="score"
    ),
    # What Hugging Face endpoints run where it is not text-embeddings-inference,
    # https://github.com/huggingface/huggingface-inference-toolkit, its task sentence-ranking.
    "hf": RerankApi(
        path="",
        key_variable="HF_TOKEN",
        url_variable=None,
        default_url="",
        batch=100,
        body=lambda model, query, texts: {"inputs": {"query": query, "texts": list(texts)}},
        scores=_rows(results="scores", score="score"),
    ),
}
"""What stands before the colon of a name -> the kind of service."""


def is_remote(name: str) -> bool:
    """Tell whether a model's name names a service: `cohere:rerank-v3.5`, `tei:http://…`"""
    kind, colon, _ = name.partition(":")
    return bool(colon) and kind in RERANK_APIS
