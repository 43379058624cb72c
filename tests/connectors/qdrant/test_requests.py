"""What is sent to Qdrant, to the letter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from retrieve_rerank import Filter, Range
from retrieve_rerank.connectors.exact_search import similarities
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.filters import KnownFields, clauses
from retrieve_rerank.connectors.qdrant import requests
from retrieve_rerank.connectors.qdrant.layout import OURS, Layout, Lexical
from retrieve_rerank.connectors.qdrant.opening import Options
from retrieve_rerank.connectors.qdrant.payload_filter import payload_filter
from retrieve_rerank.connectors.qdrant.requests import EncodedQuery
from retrieve_rerank.connectors.qdrant.vector_search import knobs
from retrieve_rerank.connectors.qdrant.versions import Limits

OWN = Layout(
    OURS,
    "text",
    "metadata.title",
    "metadata",
    "id",
    dense=VectorField("dense", 2, "cosine"),
    lexical=Lexical("own", "bm25"),
)
OTHERS = Layout(
    "unknown",
    "body",
    dense=VectorField("", 2, "dot"),
    lexical=Lexical("text-index", "body"),
    sparse="splade",
)
ROW = np.array([0.5, 0.25], dtype=np.float32)
TOKENS = np.eye(2, dtype=np.float32)


def sent(request: models.QueryRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_none=True)


def test_rankings_come_in_pages_that_the_server_allows() -> None:
    params = requests.search_params(hnsw_ef=256, quantized=False, oversample=3.0)
    asked = EncodedQuery(ROW, {7: 1.0, 9: 2.0}, tokens=TOKENS)
    found = requests.rankings(OWN, asked, filter=None, depth=100, most=60, params=params)
    dense = {
        **{"query": [0.5, 0.25], "using": "dense"},
        "params": {"hnsw_ef": 256, "indexed_only": False},
    }
    sparse = {"query": {"indices": [7, 9], "values": [1.0, 2.0]}, "using": "bm25"}
    assert {name: [sent(page) for page in pages] for name, pages in found.items()} == {
        "dense": [{**dense, "limit": 60}, {**dense, "limit": 40, "offset": 60}],
        "bm25": [
            {**sparse, "limit": 60},
            {**sparse, "limit": 40, "offset": 60},
        ],
    }


def test_max_sim_is_asked_of_points_by_a_prefetch() -> None:
    request = requests.max_sim_request(
        TOKENS, [3, 5], vector="_rr_tokens", params=None, with_payload=["text"]
    )
    assert sent(request) == {
        "prefetch": [{"filter": {"must": [{"has_id": [3, 5]}]}, "limit": 2}],
        **{"query": [[1.0, 0.0], [0.0, 1.0]], "using": "_rr_tokens", "limit": 2},
        "with_payload": ["text"],
    }


def test_others_vectors_and_text_index() -> None:
    asked = EncodedQuery(ROW, "a wing", {5: 0.5})
    found = requests.rankings(OTHERS, asked, filter=None, depth=10, most=1000, params=None)
    bare = {"limit": 10}
    assert {name: [sent(page) for page in pages] for name, pages in found.items()} == {
        "dense": [{"query": [0.5, 0.25], **bare}],
        "bm25": [{"query": {"text": "a wing"}, "using": "body", **bare}],
        "sparse": [{"query": {"indices": [5], "values": [0.5]}, "using": "splade", **bare}],
    }


def test_the_server_fuses_with_the_constant_of_the_literature() -> None:
    request = requests.fused_search(
        OWN, EncodedQuery(ROW, {7: 1.0}), filter=None, depth=5, params=None, weights=[2.0, 1.0]
    )
    assert sent(request)["query"] == {"rrf": {"k": 61, "weights": [2.0, 1.0]}}
    assert [each["using"] for each in sent(request)["prefetch"]] == ["dense", "bm25"]


@pytest.mark.parametrize(
    ("quantized", "oversample", "exact", "expected"),
    [
        (False, 3.0, False, {"hnsw_ef": 64}),
        (True, 3.0, False, {"hnsw_ef": 64, "quantization": {"rescore": True, "oversampling": 3.0}}),
        (True, 0.0, False, {"hnsw_ef": 64, "quantization": {"rescore": False}}),
        (True, None, True, {"hnsw_ef": 64, "exact": True, "quantization": {"ignore": True}}),
        (False, None, True, {"hnsw_ef": 64, "exact": True}),
    ],
)
def test_quantised_vectors_are_looked_at_twice(
    quantized: bool, oversample: float | None, exact: bool, expected: dict[str, Any]
) -> None:
    params = requests.search_params(
        hnsw_ef=64, quantized=quantized, oversample=oversample, exact=exact
    )
    assert params.model_dump(exclude_none=True, exclude_unset=True) == expected


def test_filters_match_values_by_their_type_at_any_of_a_fields_paths() -> None:
    fields: Fields = {
        "year": {"year": "integer"},
        "tags": {"tags": "string", "tags[]": "mixed"},
        "price": {"price": "float"},
        "open": {"open": "boolean"},
    }
    filter: Filter = {"year": Range(gte=1950), "tags": "1", "price": 2.5, "open": True}
    wanted = clauses(filter, KnownFields(fields))
    found = payload_filter(wanted, OWN)
    assert found is not None
    assert [each["should"] for each in found.model_dump(exclude_none=True)["must"]] == [
        [{"key": "metadata.year", "range": {"gte": 1950.0}}],
        [
            {"key": "metadata.tags", "match": {"any": ["1"]}},
            {"key": "metadata.tags[]", "match": {"any": ["1"]}},
            {"key": "metadata.tags[]", "range": {"gte": 1.0, "lte": 1.0}},
        ],
        [{"key": "metadata.price", "range": {"gte": 2.5, "lte": 2.5}}],
        [{"key": "metadata.open", "match": {"value": True}}],
    ]
    assert payload_filter([], OWN) is None


def test_equal_scores_are_ordered_by_the_points_ids() -> None:
    points = [
        models.ScoredPoint(id=id_, version=0, score=1.0, payload={"body": "x"}) for id_ in (3, 1, 2)
    ]
    assert [hit.document.id for hit in requests.ranking(points, OTHERS.document)] == ["1", "2", "3"]


def test_the_knobs_stay_within_strict_mode() -> None:
    plain, scalar = VectorField("v", 2, "dot"), VectorField("v", 2, "dot", quantization="scalar")
    assert [knob.name for knob in knobs(plain, Limits(), Options())] == ["hnsw_ef"]
    ef, oversample = knobs(scalar, Limits(hnsw_ef=64, oversampling=2), Options(hnsw_ef=32))
    assert (ef.values, ef.default) == ([16, 32, 64], 32)
    assert (oversample.values, oversample.default) == ([0.0, 1.0, 2.0], 3.0)


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [("dot", 11.0), ("cosine", 11 / (5**0.5 * 5)), ("l2", -(8**0.5)), ("l1", -4.0)],
)
def test_similarities_computed_here_are_qdrants(similarity: str, expected: float) -> None:
    queries, rows = np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 4.0]], np.float32)
    assert similarities(queries, rows, similarity)[0, 0] == pytest.approx(expected)
