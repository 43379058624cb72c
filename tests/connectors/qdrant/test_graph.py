"""What audits are told of a server's graph, as the server describes it."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from retrieve_rerank import Retriever
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.training.mining import Mining, Overlap, measure_overlap
from tests.connectors.qdrant.collections import ENCODER, vector
from tests.connectors.qdrant.stub import Stub

QUERIES = {f"q{i}": f"wing {i}" for i in range(3)}
BUILT = {"points_count": 100_000, "indexed_vectors_count": 90_000}


@pytest.fixture
def filled(stub: Stub) -> Stub:
    create(stub)
    return stub


def create(stub: Stub, **params: Any) -> None:
    dense = models.VectorParams(size=32, distance=models.Distance.COSINE, **params)
    stub.client.create_collection("docs", vectors_config={"dense": dense})
    points = [
        models.PointStruct(id=i, vector={"dense": vector(f"wing {i}")}, payload={"text": "a wing"})
        for i in range(40)
    ]
    stub.client.upsert("docs", points)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({}, r"no graph has been built of its 40 vectors; .* from 20,000 kB of vectors on"),
        ({"indexed_vectors_count": 40}, r"40 vectors are 5 kB, and below full_scan_threshold"),
        (BUILT | {"status": "yellow"}, r"not finished.*yellow, as it is .*; 90,000 .*--wait"),
        (BUILT | {"status": "grey"}, r"grey: what is to be built waits for the next write"),
        (BUILT | {"status": "red", "optimizer_status": {"error": "disk"}}, r"is red: disk"),
    ],
)
def test_what_is_not_there_is_not_audited(filled: Stub, described: Any, said: str) -> None:
    filled.described = described
    with (
        QdrantConnector.connect(filled.url, encoder=ENCODER) as connector,
        pytest.raises(ConfigError, match=f"nothing was audited: .*{said}"),
    ):
        audit(connector, QUERIES)


def test_mining_compares_with_exact_search_where_a_graph_is_walked(filled: Stub) -> None:
    filled.described = BUILT
    with QdrantConnector.connect(filled.url, encoder=ENCODER) as connector:
        retriever = Retriever(connector, candidates=5)
        qrels = {query: {"1": 1} for query in QUERIES}
        mining = Mining(retriever=retriever, queries=QUERIES, qrels=qrels)
        assert measure_overlap(mining) == Overlap(queries=3, depth=5, share=1.0)
        filled.described = {}
        assert measure_overlap(mining) is None


def test_a_graph_that_was_never_wanted_is_not_audited_but_its_quantisation(stub: Stub) -> None:
    create(stub, hnsw_config=models.HnswConfigDiff(m=0))
    stub.described = BUILT
    with (
        QdrantConnector.connect(stub.url, encoder=ENCODER) as connector,
        pytest.raises(ConfigError, match=r"every search .* is exact .*graph \(m = 0\)"),
    ):
        audit(connector, QUERIES)
    stub.quantization = {"scalar": {"type": "int8"}}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        found = audit(connector, QUERIES, top_ks=[5])
    assert {tuple(each.settings) for each in found.measured} == {("oversample",)}
