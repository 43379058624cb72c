"""The requests as the engine prints them: a change here changes what is searched."""

from __future__ import annotations

import re

import numpy as np

from retrieve_rerank import Document, Range
from retrieve_rerank.connectors.embedded import requests
from retrieve_rerank.connectors.filters import Condition
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.connectors.records import record

DENSE = np.array([0.5, -0.25], dtype=np.float32)
TOKENS = np.array([[1, 0], [0, 1]], dtype=np.float32)


def printed(request: object) -> str:
    """What a request says, without all that it leaves unsaid."""
    unsaid = re.compile(r"(, )?[\w#]+=(None|False|\[\]|0(?=, ))")
    return unsaid.sub("", str(request)).replace("(, ", "(")


DENSE_QUERY = 'query=Query.Nearest(query=[0.5, -0.25], using="dense")'
BM25_QUERY = 'query=Query.Nearest(query=SparseVector(indices=[7, 9], values=[2, 1]), using="bm25")'


def test_a_documents_point_id_never_changes() -> None:
    assert point_id("doc-1") == "93ca5f39-914f-5a0f-9786-c7d8cacdb615"


def test_a_point_holds_the_document_its_hash_and_its_vectors() -> None:
    new = record(Document("doc-1", "text", {"year": 2020}))
    point = requests.point(new, terms={7: 2.0, 9: 1.0}, dense=DENSE, tokens=TOKENS)
    assert point.payload == {
        "id": "doc-1",
        "text": "text",
        "metadata": {"year": 2020},
        "hash": new.content_hash,
    }
    assert set(point.vector) == {"bm25", "dense", "tokens"}


def test_a_point_without_terms_or_tokens_lacks_those_vectors() -> None:
    new = record(Document("doc-1", ""))
    empty = np.empty((0, 2), dtype=np.float32)
    assert set(requests.point(new, terms={}, dense=DENSE, tokens=empty).vector) == {"dense"}
    assert requests.point(new, terms={}, dense=None, tokens=None).vector == {}


def test_one_batch_asks_for_both_rankings_and_max_sim_over_them() -> None:
    names, batch = requests.search_batch(
        dense=DENSE, terms={7: 2.0, 9: 1.0}, tokens=TOKENS, filter=None, depth=100
    )
    assert names == ["dense", "bm25", "tokens"]
    ranking = "limit=100, params=SearchParams(hnsw_ef=256)"
    assert printed(batch) == (
        f"QueryBatchRequest(queries=[QueryRequest({DENSE_QUERY}, {ranking}), "
        f"QueryRequest({BM25_QUERY}, {ranking}), "
        f"QueryRequest(prefetches=[Prefetch({DENSE_QUERY}, {ranking}), "
        f"Prefetch({BM25_QUERY}, {ranking})], "
        'query=Query.Nearest(query=[[1, 0], [0, 1]], using="tokens"), limit=200)])'
    )


def test_the_filter_goes_into_each_ranking_and_prefetch() -> None:
    filter = requests.engine_filter([Condition("year", {"year": (2020,)})])
    _, batch = requests.search_batch(
        dense=DENSE, terms={7: 1.0}, tokens=TOKENS, filter=filter, depth=1000
    )
    assert printed(batch).count("filter=Filter(must=") == 4
    assert printed(batch).count("hnsw_ef=1000") == 4


def test_only_what_can_be_ranked_by_is_asked_for() -> None:
    names, batch = requests.search_batch(
        dense=None, terms={7: 1.0}, tokens=None, filter=None, depth=100
    )
    assert names == ["bm25"]
    assert batch is not None
    assert requests.search_batch(dense=None, terms={}, tokens=TOKENS, filter=None, depth=100) == (
        [],
        None,
    )


def test_conditions_become_alternatives_all_of_which_hold() -> None:
    conditions = [
        Condition("year", {"year": (2020, 2021)}),
        Condition("by.name", {"by.name": ("Ada",), "by[].name": ("Ada",)}),
        Condition("size", {"size": (Range(gte=1, lt=2),)}),
        Condition("any", {'"a key"': ("1", 1.5, True)}),
    ]
    assert printed(requests.engine_filter(conditions)) == (
        "Filter(must=["
        'Filter(should=[FieldCondition(key="metadata.year", '
        "r#match=MatchAny(value=[2020, 2021]))]), "
        'Filter(should=[FieldCondition(key="metadata.by.name", r#match=MatchAny(value=["Ada"])), '
        'FieldCondition(key="metadata.by[].name", r#match=MatchAny(value=["Ada"]))]), '
        'Filter(should=[FieldCondition(key="metadata.size", range=RangeFloat(gte=1, lt=2))]), '
        'Filter(should=[FieldCondition(key="metadata.\\"a key\\"", r#match=MatchAny(value=["1"])), '
        'FieldCondition(key="metadata.\\"a key\\"", r#match=MatchValue(value=True)), '
        'FieldCondition(key="metadata.\\"a key\\"", range=RangeFloat(gte=1.5, lte=1.5))])])'
    )
    assert requests.engine_filter([]) is None


def test_a_walk_is_never_narrower_than_the_ranking_is_deep() -> None:
    for hnsw_ef, asked in ((16, 100), (512, 512)):
        _, batch = requests.search_batch(
            dense=DENSE, terms={}, tokens=None, filter=None, depth=100, hnsw_ef=hnsw_ef
        )
        assert f"hnsw_ef={asked}" in printed(batch)


def test_neighbours_are_asked_for_by_the_graph_or_exactly() -> None:
    rest = 'with_payload=PayloadSelector.Include(keys=["id"])'
    by_graph = requests.nearest_request(DENSE, limit=10, hnsw_ef=64)
    assert printed(by_graph) == (
        f"QueryRequest({DENSE_QUERY}, limit=10, params=SearchParams(hnsw_ef=64), {rest})"
    )
    exact = requests.nearest_request(DENSE, limit=10, hnsw_ef=None)
    assert printed(exact) == (
        f"QueryRequest({DENSE_QUERY}, limit=10, params=SearchParams(exact=True), {rest})"
    )


def test_max_sim_is_asked_for_by_id() -> None:
    point = point_id("doc-1")
    assert printed(requests.max_sim_request(TOKENS, [point])) == (
        'QueryRequest(query=Query.Nearest(query=[[1, 0], [0, 1]], using="tokens"), '
        f'filter=Filter(must=[HasIdCondition(point_ids={{"{point}"}})]), limit=1)'
    )
