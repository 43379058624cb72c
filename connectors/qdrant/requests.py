"""What is sent to Qdrant, and what its answers mean: pure functions over its typed models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from qdrant_client import models

from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.hybrid import BM25, DENSE, SPARSE
from retrieve_rerank.connectors.qdrant.layout import Layout
from retrieve_rerank.types import Document, Hit, rank

PointId: TypeAlias = int | str | UUID

RRF_K = 61
"""Qdrant counts ranks from 0: with 61 its sum is that of 1 / (60 + rank), rank from 1."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query in every form that is searched for; None is not."""

    dense: Vectors | None = None  # (dim,)
    bm25: Mapping[int, float] | str | None = None
    """Weights of terms, or the text where the server takes it as it is."""
    sparse: Mapping[int, float] | None = None
    tokens: Vectors | None = None  # (tokens, dim)
    notes: tuple[str, ...] = ()
    """Why a ranking is not asked for."""
    cut: bool = False
    """Whether a ranking's model has read only the beginning of the query."""
    tokens_cut: bool = False
    """Whether the tokens are of its beginning alone."""


def rankings(
    layout: Layout,
    asked: EncodedQuery,
    *,
    filter: models.Filter | None,
    depth: int,
    most: float,
    params: models.SearchParams | None,
) -> dict[str, list[models.QueryRequest]]:
    """Ask for each ranking: name -> the pages of its `depth` hits, at `most` in a request."""
    lone = _prefetches(layout, asked, filter=filter, depth=depth, params=params)
    return {
        name: pages(models.QueryRequest(**dict(each)), most=most) for name, each in lone.items()
    }


def pages(request: models.QueryRequest, *, most: float) -> list[models.QueryRequest]:
    """Cut a request into such as ask for `most` hits each."""
    first, depth = request.offset or 0, request.limit or 0
    page = int(min(depth, most))
    return [
        request.model_copy(
            update={"limit": min(page, depth - start), "offset": first + start or None}
        )
        for start in range(0, depth, page)
    ]


def fused_search(
    layout: Layout,
    asked: EncodedQuery,
    *,
    filter: models.Filter | None,
    depth: int,
    params: models.SearchParams | None,
    weights: list[float] | None,
) -> models.QueryRequest:
    """Ask for the rankings as the server fuses them."""
    lone = _prefetches(layout, asked, filter=filter, depth=depth, params=params)
    return models.QueryRequest(
        prefetch=list(lone.values()),
        query=models.RrfQuery(rrf=models.Rrf(k=RRF_K, weights=weights)),
        limit=depth,
    )


def max_sim_request(
    tokens: Vectors,
    points: Iterable[models.ExtendedPointId],
    *,
    vector: str,
    params: models.SearchParams | None,
    with_payload: models.WithPayloadInterface,
) -> models.QueryRequest:
    """Ask for the MaxSim of these points.

    As the only candidates of a prefetch, not as a filter: strict mode may forbid to search vectors
    without a graph, and takes that for it.
    """
    ids = list(points)
    return models.QueryRequest(
        prefetch=[
            models.Prefetch(
                filter=models.Filter(must=[models.HasIdCondition(has_id=ids)]), limit=len(ids)
            )
        ],
        query=tokens.tolist(),
        using=vector,
        params=params,
        limit=len(ids),
        with_payload=with_payload,
    )


def nearest_request(
    field: VectorField,
    vector: Vectors,
    *,
    top_k: int,
    params: models.SearchParams | None,
    layout: Layout,
) -> models.QueryRequest:
    """Ask for a vector's neighbours alone."""
    return models.QueryRequest(
        query=vector.tolist(),
        using=field.name or None,
        limit=top_k,
        params=params,
        with_payload=layout.id_selector,
    )


def ranking(
    points: Sequence[models.ScoredPoint],
    document: Callable[[models.ScoredPoint], Document],
    *,
    similarity: str = "dot",
) -> list[Hit]:
    """Read a ranking. Equal scores are ordered by the points' ids: the server's order changes."""
    found = sorted(points, key=lambda each: str(each.id))
    return rank((document(each), higher(each.score, similarity)) for each in found)


def higher(score: float, similarity: str) -> float:
    """Turn a distance around, so that higher is better."""
    return -score if similarity in ("l2", "l1") else score


def mean_max_sims(
    points: Sequence[models.ScoredPoint], tokens: Vectors
) -> dict[models.ExtendedPointId, float]:
    """Read MaxSim: point id -> mean over the query's tokens, where Qdrant gives the sum."""
    return {each.id: each.score / len(tokens) for each in points}


def search_params(
    *, hnsw_ef: int | None, quantized: bool, oversample: float | None, exact: bool = False
) -> models.SearchParams:
    """Word how the graph is walked; `oversample` 0 takes the quantised scores as they are."""
    quantization = None
    if exact and quantized:
        quantization = models.QuantizationSearchParams(ignore=True)
    elif quantized and oversample is not None:
        quantization = models.QuantizationSearchParams(
            rescore=oversample > 0, oversampling=oversample or None
        )
    return models.SearchParams(hnsw_ef=hnsw_ef, exact=exact or None, quantization=quantization)


def sparse_vector(weights: Mapping[int, float]) -> models.SparseVector:
    """Word a sparse vector."""
    return models.SparseVector(indices=list(weights), values=list(weights.values()))


def _prefetches(
    layout: Layout,
    asked: EncodedQuery,
    *,
    filter: models.Filter | None,
    depth: int,
    params: models.SearchParams | None,
) -> dict[str, models.Prefetch]:
    """Ask for each ranking: name -> request. A query without terms asks for none of that name."""
    queries: dict[str, tuple[Any, str | None]] = {}
    if asked.dense is not None and layout.dense is not None:
        queries[DENSE] = (asked.dense.tolist(), layout.dense.name or None)
    if asked.bm25 and layout.lexical is not None:
        words = asked.bm25
        query = models.TextQuery(text=words) if isinstance(words, str) else sparse_vector(words)
        queries[BM25] = (query, layout.lexical.field)
    if asked.sparse and layout.sparse is not None:
        queries[SPARSE] = (sparse_vector(asked.sparse), layout.sparse)
    return {
        name: models.Prefetch(
            query=query,
            using=using,
            filter=filter,
            limit=depth,
            params=params if name == DENSE else None,
        )
        for name, (query, using) in queries.items()
    }
