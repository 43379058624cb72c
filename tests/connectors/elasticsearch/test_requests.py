"""What is sent, to the letter. What the test servers lack is tested here alone, and marked so."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from retrieve_rerank.connectors.elasticsearch.client import Request
from retrieve_rerank.connectors.elasticsearch.errors import refused_within
from retrieve_rerank.connectors.elasticsearch.layout import Layout, Semantic
from retrieve_rerank.connectors.elasticsearch.reader import page
from retrieve_rerank.connectors.elasticsearch.requests import (
    KnnSettings,
    dense_vector_query,
    exact_query,
    filtered,
    fused_by_server,
    knn_clause,
    lexical_query,
    search,
    search_body,
    semantic_query,
    sparse_query,
)
from retrieve_rerank.connectors.elasticsearch.responses import hits_of, ranking, similarity
from retrieve_rerank.connectors.elasticsearch.versions import Server, ask_server, read_server
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.errors import (
    DeadlineExceededError,
    IndexMismatchError,
    PermissionDeniedError,
    UnsupportedServerError,
)

ROW = np.array([0.5, -0.25], dtype=np.float32)
FIELD = VectorField("vector", 2, "cosine")
ENGLISH = {"terms": {"lang": ["en"]}}


def test_lexical_queries_search_text_and_title_as_they_are_analysed() -> None:
    assert lexical_query(Layout("x", "text", lexical=("text",)), "wing") == {
        "match": {"text": {"query": "wing"}}
    }
    assert lexical_query(Layout("x", "text", lexical=("text", "title")), "wing") == {
        "multi_match": {
            "query": "wing",
            "fields": ["text", "title"],
            "type": "best_fields",
            "tie_breaker": 0.5,
        }
    }
    ours = Layout("retrieve-rerank", "text", lexical=("text", "title"), combined=True)
    assert lexical_query(ours, "wing") == {
        "combined_fields": {"query": "wing", "fields": ["text", "title"]}
    }


def test_a_lexical_query_for_chunks_asks_for_the_best_one() -> None:
    layout = Layout("x", "passages.text", lexical=("passages.text",), chunks="passages")
    assert lexical_query(layout, "wing") == {
        "nested": {
            "path": "passages",
            "query": {"match": {"passages.text": {"query": "wing"}}},
            "score_mode": "max",
            "inner_hits": {"size": 1, "_source": {"includes": ["passages.text"]}},
        }
    }


def test_knn_always_says_k_and_num_candidates() -> None:
    clause = knn_clause(FIELD, ROW, k=100, settings=KnnSettings(), filter=[ENGLISH])
    assert clause == {
        "field": "vector",
        "query_vector": [0.5, -0.25],
        "k": 100,
        "num_candidates": 200,
        "filter": [ENGLISH],
    }
    rescored = knn_clause(FIELD, ROW, k=100, settings=KnnSettings(50, 0.0))
    assert rescored["num_candidates"] == 100
    assert rescored["rescore_vector"] == {"oversample": 0.0}


@pytest.mark.parametrize(
    ("k", "asked", "expected"),
    [(1, None, 200), (9000, None, 10_000), (5, 7, 7), (5, 20_000, 10_000)],
)
def test_num_candidates_stays_within_the_servers_limits(
    k: int, asked: int | None, expected: int
) -> None:
    assert KnnSettings(asked).candidates(k) == expected


@pytest.mark.parametrize("measure", ["cosine", "dot", "l2", "max_inner_product"])
def test_exact_scores_are_those_of_a_knn_search(measure: str) -> None:
    """Not run on a server: the test servers have no scripts."""
    query = exact_query(VectorField("vector", 2, measure), ROW, [ENGLISH])
    script = query["script_score"]
    assert script["query"] == {"bool": {"filter": [ENGLISH, {"exists": {"field": "vector"}}]}}
    assert script["script"]["params"] == {"q": [0.5, -0.25]}
    assert (
        script["script"]["source"]
        == {
            "cosine": "(cosineSimilarity(params.q, 'vector') + 1.0) / 2.0",
            "dot": "(dotProduct(params.q, 'vector') + 1.0) / 2.0",
            "l2": "1.0 / (1.0 + Math.pow(l2norm(params.q, 'vector'), 2))",
            "max_inner_product": "double d = dotProduct(params.q, 'vector'); "
            "d < 0 ? 1.0 / (1.0 - d) : d + 1.0",
        }[measure]
    )


def test_exact_search_reaches_into_chunks() -> None:
    """Not run on a server: the test servers have no scripts."""
    query = exact_query(VectorField("p.v", 2, "cosine", nested="p"), ROW, [ENGLISH])
    [nested] = query["bool"]["must"]
    assert query["bool"]["filter"] == [ENGLISH]
    assert nested["nested"]["path"] == "p"
    inner = nested["nested"]["query"]["script_score"]["query"]
    assert inner == {"bool": {"filter": [{"exists": {"field": "p.v"}}]}}


def test_exact_search_without_a_script() -> None:
    """Not run on a server: 9.5.0 answers that it knows no such query."""
    assert dense_vector_query(VectorField("vector", 2, "cosine"), ROW) == {
        "dense_vector": {"field": "vector", "query_vector": [0.5, -0.25], "quantized": False}
    }
    with pytest.raises(UnsupportedServerError):
        dense_vector_query(VectorField("p.v", 2, "cosine", nested="p"), ROW)


def test_sparse_and_semantic_queries() -> None:
    assert sparse_query("vector.tokens", {"wing": 1.5}) == {
        "sparse_vector": {"field": "vector.tokens", "query_vector": {"wing": 1.5}}
    }
    # Not run on a server: the test servers have no semantic_text.
    assert semantic_query(Semantic("body", "dense", "cosine", "e5"), "wing") == {
        "semantic": {"field": "body", "query": "wing"}
    }


def test_filters_do_not_score() -> None:
    query = {"match": {"text": {"query": "wing"}}}
    assert filtered(query, []) == query
    assert filtered(query, [ENGLISH]) == {"bool": {"must": [query], "filter": [ENGLISH]}}


def test_one_search_is_one_request_and_several_are_one_too() -> None:
    body = search_body({"query": {"match_all": {}}}, size=5, source=False, timeout_s=0.25)
    assert body == {
        "query": {"match_all": {}},
        "size": 5,
        "_source": False,
        "track_total_hits": False,
        "timeout": "250ms",
    }
    alone = search("my docs", [body])
    assert (alone.method, alone.path) == ("POST", "/my%20docs/_search")
    assert alone.params == {"allow_partial_search_results": "false"}
    both = search("docs", [body, body])
    assert both.path == "/docs/_msearch"
    lines = [json.loads(line) for line in both.body.decode().splitlines()]
    assert lines == [{"allow_partial_search_results": False}, body] * 2
    assert both.body.endswith(b"\n")


def test_the_server_fuses_as_it_is_asked_to() -> None:
    """Not run on a server: the test servers know neither rrf nor linear."""
    parts: dict[str, Any] = {
        "dense": {"knn": knn_clause(FIELD, ROW, k=100, settings=KnnSettings())},
        "bm25": {"query": {"match": {"text": {"query": "wing"}}}},
    }
    knn, standard = {"knn": parts["dense"]["knn"]}, {"standard": parts["bm25"]}
    assert fused_by_server(Fusion("server-rrf"), parts, depth=100) == {
        "retriever": {
            "rrf": {
                "retrievers": [knn, standard],
                "rank_window_size": 100,
                "rank_constant": 60,
            }
        }
    }
    weighted = fused_by_server(Fusion("server-rrf", {"dense": 2.0}), parts, depth=100)
    assert weighted["retriever"]["rrf"]["retrievers"][0] == {"retriever": knn, "weight": 2.0}
    linear = fused_by_server(Fusion("server-linear", {"bm25": 0.5}), parts, depth=100)
    assert linear == {
        "retriever": {
            "linear": {
                "retrievers": [
                    {"retriever": knn, "weight": 1.0, "normalizer": "minmax"},
                    {"retriever": standard, "weight": 0.5, "normalizer": "minmax"},
                ],
                "rank_window_size": 100,
            }
        }
    }


def test_a_page_of_a_scan() -> None:
    assert page("pit", size=10, source=False, after=[5, 7], part=1, parts=4) == {
        "size": 10,
        "pit": {"id": "pit", "keep_alive": "5m"},
        "sort": [{"_seq_no": "asc"}],
        "_source": False,
        "track_total_hits": False,
        "slice": {"field": "_seq_no", "id": 1, "max": 4},
        "search_after": [5, 7],
    }
    again = page("pit", size=10, source=False, fields=["vector"], from_seq_no=5)
    assert again["query"] == {"bool": {"filter": [{"range": {"_seq_no": {"gte": 5}}}]}}
    assert again["fields"] == ["vector"]


@pytest.mark.parametrize(
    ("measure", "score", "raw"),
    [
        ("cosine", 0.75, 0.5),
        ("dot", 0.25, -0.5),
        ("l2", 0.2, -2.0),
        ("max_inner_product", 3.5, 2.5),
        ("max_inner_product", 0.25, -3.0),
    ],
)
def test_scores_become_similarities(measure: str, score: float, raw: float) -> None:
    assert math.isclose(similarity(score, measure), raw)


def test_an_answer_says_what_went_wrong_within_it() -> None:
    """An item of _msearch as 9.5.0 answers it."""
    said = {
        "error": {
            "type": "search_phase_execution_exception",
            "reason": "all shards failed",
            "root_cause": [
                {
                    "type": "query_shard_exception",
                    "reason": "failed to create query: The query vector has a different number of "
                    "dimensions [2] than the document vectors [32].",
                }
            ],
        },
        "status": 400,
    }
    error = refused_within({"responses": [{"hits": {}}, said]}, "here")
    assert isinstance(error, IndexMismatchError)
    assert "different number of dimensions [2]" in str(error)
    assert refused_within({"responses": [{"hits": {}}]}, "here") is None
    with pytest.raises(DeadlineExceededError):
        hits_of({"timed_out": True, "hits": {"hits": []}}, "here")


def test_hits_are_ranked_by_their_similarities() -> None:
    hits: list[dict[str, Any]] = [
        {"_id": id_, "_score": score, "_source": {"text": id_}}
        for id_, score in (("a", 0.9), ("b", 0.8))
    ]
    found = ranking(hits, Layout("x", "text"), convert=lambda s: 2 * s - 1)
    assert [(hit.rank, hit.document.text, round(hit.score, 3)) for hit in found] == [
        (1, "a", 0.8),
        (2, "b", 0.6),
    ]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"version": {"number": "2.19.0", "distribution": "opensearch"}}, "is not Elasticsearch"),
        ({"version": {"number": "8.14.3"}}, "runs Elasticsearch 8.14.3; the oldest"),
        ({"name": "nginx"}, "is not Elasticsearch"),
        (["a list"], "is not Elasticsearch"),
    ],
)
def test_other_servers_and_old_ones_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(UnsupportedServerError, match=message):
        read_server(answer, "here")


def test_a_server_that_may_not_be_asked_is_taken_for_an_old_one() -> None:
    """Not run on a server: the test servers answer GET / to everyone."""
    steps = ask_server("here")
    assert next(steps) == Request("GET", "/")
    with pytest.raises(StopIteration) as caught:
        steps.throw(PermissionDeniedError("cluster:monitor/main is unauthorized"))
    assert caught.value.value == Server(None)
    assert not Server(None).has(8, 16)


def test_releases_say_what_they_have() -> None:
    server = read_server({"version": {"number": "9.5.0", "build_flavor": "default"}}, "here")
    assert server.has(9, 3)
    assert not server.has(9, 6)
    serverless = {"version": {"number": "8.11.0", "build_flavor": "serverless"}}
    assert read_server(serverless, "here").has(9, 9)
