"""Searches in the server's words. Pure: everything that a request says comes in as arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from retrieve_rerank.base import Vectors
from retrieve_rerank.connectors.elasticsearch.client import Request
from retrieve_rerank.connectors.elasticsearch.layout import Layout, Semantic
from retrieve_rerank.connectors.elasticsearch.look_alikes import (
    LOOK_ALIKES,
    asked,
    only_stop_words,
)
from retrieve_rerank.connectors.elasticsearch.names import SIDECAR_PREFIX
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.errors import UnsupportedServerError
from retrieve_rerank.fusion import RRF_K

MAX_CANDIDATES = 10_000
"""The server's limit of `num_candidates`, NUM_CANDS_LIMIT in its KnnSearchBuilder."""

TIE_BREAKER = 0.5
"""Part of the score that a match in the weaker of title and text adds to the better one's; BEIR's
lexical baseline has it too, https://arxiv.org/abs/2104.08663."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KnnSettings:
    """How approximate search trades time for recall; None takes the default."""

    num_candidates: int | None = None
    """Candidates on each shard."""
    oversample: float | None = None
    """How many times `k` quantised candidates are compared again at full precision; 0 for none."""

    def candidates(self, k: int) -> int:
        """Say how many candidates a search for `k` hits walks through on each shard."""
        # Twice the hits, as the server's own 1.5 lose recall where k is small.
        wanted = self.num_candidates or max(200, 2 * k)
        return min(MAX_CANDIDATES, max(wanted, k))


def lexical_query(layout: Layout, query: str) -> Body:
    """Search text and title by words, as the mapping analyses them."""
    title = list(layout.lexical[1:])
    text: Body = {"match": {layout.lexical[0]: {"query": query}}}
    if layout.chunks:
        nested = {"path": layout.chunks, "query": text, "score_mode": "max"}
        text = {"nested": {**nested, "inner_hits": _best_chunk(layout)}}
        if not title:
            return text
        return {
            "dis_max": {
                "queries": [text, {"match": {title[0]: {"query": query}}}],
                "tie_breaker": TIE_BREAKER,
            }
        }
    if not title:
        return text
    if layout.combined:
        if layout.every_word and only_stop_words(query, layout.language):
            return {"combined_fields": {"query": query, "fields": list(layout.every_word)}}
        if LOOK_ALIKES in layout.lexical:
            query = asked(query, layout.language)
        return {"combined_fields": {"query": query, "fields": list(layout.lexical)}}
    return {
        "multi_match": {
            "query": query,
            "fields": list(layout.lexical),
            "type": "best_fields",
            "tie_breaker": TIE_BREAKER,
        }
    }


def knn_clause(
    field: VectorField,
    vector: Vectors,
    *,
    k: int,
    settings: KnnSettings,
    filter: Sequence[Body] = (),
    layout: Layout | None = None,
) -> Body:
    """Search a graph of vectors; `layout` asks for the best chunk of each document."""
    clause: Body = {
        "field": field.name,
        "query_vector": [float(each) for each in vector],
        "k": k,
        "num_candidates": settings.candidates(k),
    }
    if filter:
        clause["filter"] = list(filter)
    if settings.oversample is not None:
        clause["rescore_vector"] = {"oversample": settings.oversample}
    if layout is not None and layout.chunks and field.nested == layout.chunks:
        clause["inner_hits"] = _best_chunk(layout)
    return clause


def exact_query(field: VectorField, vector: Vectors, filter: Sequence[Body] = ()) -> Body:
    """Compare with every vector, by a script; scores are those of a kNN search."""
    path = f"'{field.name}'"
    there = {"exists": {"field": field.name}}
    query: Body = {
        "script_score": {
            "query": {"bool": {"filter": [*filter, there] if not field.nested else [there]}},
            "script": {
                "source": _SCRIPTS[field.similarity].format(path),
                "params": {"q": [float(each) for each in vector]},
            },
        }
    }
    if not field.nested:
        return query
    query = {"nested": {"path": field.nested, "query": query, "score_mode": "max"}}
    return {"bool": {"must": [query], "filter": list(filter)}}


def dense_vector_query(field: VectorField, vector: Vectors) -> Body:
    """Compare with every vector as it was given, without a script; for servers after 9.5.

    Raises UnsupportedServerError for vectors in nested documents.
    """
    if field.nested:
        raise UnsupportedServerError("not known to reach into nested documents")
    query = {"field": field.name, "query_vector": [float(each) for each in vector]}
    return {"dense_vector": {**query, "quantized": False}}


_SCRIPTS: Mapping[str, str] = {
    "cosine": "(cosineSimilarity(params.q, {}) + 1.0) / 2.0",
    "dot": "(dotProduct(params.q, {}) + 1.0) / 2.0",
    "l2": "1.0 / (1.0 + Math.pow(l2norm(params.q, {}), 2))",
    "max_inner_product": "double d = dotProduct(params.q, {}); d < 0 ? 1.0 / (1.0 - d) : d + 1.0",
}


def sparse_query(field: str, weights: Mapping[str, float]) -> Body:
    """Search learned sparse vectors, with the query's weights made here."""
    return {"sparse_vector": {"field": field, "query_vector": dict(weights)}}


def semantic_query(semantic: Semantic, query: str) -> Body:
    """Have the server embed the query and search by it."""
    return {"semantic": {"field": semantic.field, "query": query}}


def filtered(query: Body, filter: Sequence[Body]) -> Body:
    """Search only what the filter lets through; scores stay as they are."""
    return {"bool": {"must": [query], "filter": list(filter)}} if filter else query


def search_body(part: Body, *, size: int, source: Any, timeout_s: float | None = None) -> Body:
    """Complete a request of which `part` says what to search: `query`, `knn` or `retriever`."""
    body = {**part, "size": size, "_source": source, "track_total_hits": False}
    if timeout_s is not None:
        body["timeout"] = f"{max(1, round(timeout_s * 1000))}ms"
    return body


def search(index: str, bodies: Sequence[Body]) -> Request:
    """Send one search, or several in one round trip. Missing shards are errors, not fewer hits."""
    if len(bodies) == 1:
        return Request(
            "POST",
            f"/{quoted(index)}/_search",
            bodies[0],
            {"allow_partial_search_results": "false"},
        )
    header = json.dumps({"allow_partial_search_results": False})
    lines = (line for body in bodies for line in (header, json.dumps(body)))
    content = ("\n".join(lines) + "\n").encode()
    return Request("POST", f"/{quoted(index)}/_msearch", content, parts=[None] * len(bodies))


def fused_by_server(fusion: Fusion, parts: Mapping[str, Body], *, depth: int) -> Body:
    """Word a hybrid search that the server fuses (Enterprise licence).

    `parts` maps a ranking to a query, or to a kNN clause under the key `knn`.
    """
    retrievers: list[Body] = []
    for name, part in parts.items():
        retriever = {"knn": part["knn"]} if "knn" in part else {"standard": part}
        weight = fusion.weights.get(name, 1.0)
        if fusion.method == "server-linear":
            retrievers.append({"retriever": retriever, "weight": weight, "normalizer": "minmax"})
        elif weight != 1.0:
            retrievers.append({"retriever": retriever, "weight": weight})
        else:
            retrievers.append(retriever)
    method: Body = {"retrievers": retrievers, "rank_window_size": depth}
    if fusion.method == "server-rrf":
        return {"retriever": {"rrf": {**method, "rank_constant": RRF_K}}}
    return {"retriever": {"linear": method}}


def quoted(index: str) -> str:
    """Write an index's name as part of a path; a pattern never takes in indexes of tensors."""
    name = "*" if index == "_all" else index
    return quote(f"{name},-{SIDECAR_PREFIX}*" if "*" in name else name, safe=",*")


def _best_chunk(layout: Layout) -> Body:
    return {"size": 1, "_source": {"includes": [layout.text]} if layout.text else False}
