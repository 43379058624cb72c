"""What is sent to the engine, and what its answers mean: pure functions, no shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge

from retrieve_rerank.base import Range, Vectors
from retrieve_rerank.connectors.dates import MICROSECOND, Span
from retrieve_rerank.connectors.embedded.shard import TOKENS
from retrieve_rerank.connectors.filter_values import Wanted, bounds
from retrieve_rerank.connectors.filters import AllOf, Clause, Condition, Missing, NoneOf
from retrieve_rerank.connectors.hybrid import BM25, DENSE
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.connectors.records import Record
from retrieve_rerank.errors import IndexCorruptError
from retrieve_rerank.types import Document, Hit, rank

HNSW_EF = 256
"""Candidates that a search of the graph keeps: recall of .998 at 100 hits of 10,000 documents."""

ID_ONLY = edge.PayloadSelector.Include(["id"])
HASH_ONLY = edge.PayloadSelector.Include(["hash"])
DOCUMENT_ONLY = edge.PayloadSelector.Exclude(["hash"])


def point(
    record: Record, *, terms: Mapping[int, float], dense: Vectors | None, tokens: Vectors | None
) -> edge.Point:
    """Make the point of a document.

    Without terms (an empty text) or tokens it has no vector of that name: the engine refuses an
    empty multivector.
    """
    vectors: dict[str, Any] = {}
    if terms:
        vectors[BM25] = _sparse(terms)
    if dense is not None:
        vectors[DENSE] = dense
    if tokens is not None and len(tokens):
        vectors[TOKENS] = tokens
    payload = {
        "id": record.id,
        "text": record.text,
        "metadata": record.metadata,
        "hash": record.content_hash,
    }
    return edge.Point(point_id(record.id), vectors, payload)


def dense_vector(point: edge.Record) -> Vectors:
    """Read the vector of a document back, (dim,), from a point that has one."""
    vectors: Any = point.vector
    return np.array(vectors[DENSE], dtype=np.float32)


def document(payload: Mapping[str, Any]) -> Document:
    """Read a document back from its point; raise IndexCorruptError for what is none."""
    try:
        return Document(payload["id"], payload["text"], payload["metadata"])
    except KeyError as exc:
        raise IndexCorruptError(
            f"a document of the index has lost its {exc.args[0]}; make the index anew from its "
            "sources (rr index SOURCE --recreate), or restore its folder from a backup"
        ) from exc


def search_batch(
    *,
    dense: Vectors | None,
    terms: Mapping[int, float],
    tokens: Vectors | None,
    filter: edge.Filter | None,
    depth: int,
    hnsw_ef: int = HNSW_EF,
) -> tuple[list[str], edge.QueryBatchRequest | None]:
    """Ask for the rankings, and MaxSim over their hits, in one batch.

    Returns the names of what is asked for, in order (`tokens` is MaxSim), and the request, None
    when there is nothing to ask. Points come with their ids only.
    """
    queries: dict[str, edge.Query] = {}
    if dense is not None:
        queries[DENSE] = _nearest(dense, DENSE)
    if terms:
        queries[BM25] = _nearest(_sparse(terms), BM25)
    params = edge.SearchParams(hnsw_ef=max(hnsw_ef, depth))
    requests = [
        edge.QueryRequest(limit=depth, query=query, filter=filter, params=params)
        for query in queries.values()
    ]
    names = list(queries)
    if tokens is not None and queries:
        names.append(TOKENS)
        requests.append(
            edge.QueryRequest(
                limit=depth * len(queries),
                query=_nearest(tokens, TOKENS),
                prefetches=[
                    edge.Prefetch(limit=depth, query=query, filter=filter, params=params)
                    for query in queries.values()
                ],
            )
        )
    return names, edge.QueryBatchRequest(requests) if requests else None


def max_sim_request(tokens: Vectors, points: Sequence[str]) -> edge.QueryRequest:
    """Ask for the MaxSim of these points."""
    return edge.QueryRequest(
        limit=len(points),
        query=_nearest(tokens, TOKENS),
        filter=edge.Filter(must=[edge.HasIdCondition(set(points))]),
    )


def nearest_request(vector: Vectors, *, limit: int, hnsw_ef: int | None) -> edge.QueryRequest:
    """Ask for the nearest documents' ids; without `hnsw_ef`, by comparing with every vector."""
    exact = hnsw_ef is None
    return edge.QueryRequest(
        limit=limit,
        query=_nearest(vector, DENSE),
        params=edge.SearchParams(hnsw_ef=hnsw_ef, exact=exact),
        with_payload=ID_ONLY,
    )


def neighbours(points: Sequence[edge.ScoredPoint]) -> list[tuple[str, float]]:
    """Read (document id, cosine), best first."""
    return [((each.payload or {})["id"], each.score) for each in points]


def ranking(points: Sequence[edge.ScoredPoint]) -> list[Hit]:
    """Read a ranking: hits whose documents have the point's id, and no text yet.

    Equal scores are ordered by id; the engine's order among them changes with its segments.
    """
    found = sorted((str(each.id), each.score) for each in points)
    return rank((Document(id_, text=""), score) for id_, score in found)


def max_sims(points: Sequence[edge.ScoredPoint], tokens: Vectors | None) -> dict[str, float]:
    """Read MaxSim: point id -> mean over the query's tokens, where the engine gives the sum."""
    return {} if tokens is None else {str(each.id): each.score / len(tokens) for each in points}


def engine_filter(clauses: Sequence[Clause]) -> edge.Filter | None:
    """Translate clauses, all of which must hold; a condition at any of its field's paths."""
    return edge.Filter(must=list(map(_clause, clauses))) if clauses else None


def payload_key(path: str) -> str:
    """Return where in a point's payload a metadata path is."""
    return f"metadata.{path}"


def _sparse(terms: Mapping[int, float]) -> edge.SparseVector:
    return edge.SparseVector(list(terms), list(terms.values()))


def _nearest(
    vector: Any, using: str
) -> edge.Query:  # it takes arrays too, though its stub says not
    return edge.Query.Nearest(vector, using=using)


def _clause(clause: Clause) -> edge.Filter:
    if isinstance(clause, Condition):
        at = {payload_key(path): wanted for path, wanted in clause.wanted.items()}
        return edge.Filter(should=[each for key in at for each in _alternatives(key, at[key])])
    if isinstance(clause, Missing):
        return edge.Filter(must=[_missing(payload_key(path)) for path in clause.paths])
    inner: list[Any] = list(map(_clause, clause.clauses))
    if isinstance(clause, NoneOf):
        return edge.Filter(must_not=inner)
    return edge.Filter(must=inner) if isinstance(clause, AllOf) else edge.Filter(should=inner)


def _missing(key: str) -> edge.Filter | edge.IsEmptyCondition:
    """Ask for nothing there; the engine does not say that a list of nulls is empty."""
    empty = edge.IsEmptyCondition(key)
    if "[]" in key:  # of several values: it does
        return empty
    nulls: list[Any] = [edge.IsNullCondition(key), edge.IsEmptyCondition(f"{key}[]")]
    return edge.Filter(should=[empty, edge.Filter(must=nulls)])


def _alternatives(key: str, wanted: Sequence[Wanted]) -> list[edge.FieldCondition]:
    ranges: list[Any] = [
        edge.RangeFloat(**bounds(each))
        if isinstance(each, Range)
        else edge.RangeDateTime(**each.rounded(MICROSECOND).texts())
        for each in wanted
        if isinstance(each, Range | Span)
    ]
    # The engine matches texts, integers and booleans only, several at once if of one type. It
    # takes Python's True for the integer 1, but knows NumPy's.
    texts = [value for value in wanted if isinstance(value, str)]
    integers = [value for value in wanted if type(value) is int]
    booleans = [np.bool_(value) for value in wanted if isinstance(value, bool)]
    floats = [value for value in wanted if isinstance(value, float)]
    matches: list[Any] = [edge.MatchAny(values) for values in (texts, integers) if values]
    matches += map(edge.MatchValue, booleans)  # type: ignore[arg-type]  # see above
    ranges += [edge.RangeFloat(gte=x, lte=x) for x in floats]
    return [
        *(edge.FieldCondition(key, match=match) for match in matches),
        *(edge.FieldCondition(key, range=each) for each in ranges),
    ]
