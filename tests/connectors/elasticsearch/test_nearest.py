"""What audits ask for, on real servers of both releases."""

from __future__ import annotations

import numpy as np
import pytest

from retrieve_rerank import Document
from retrieve_rerank.base import Knob
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.exact_search import similarities
from retrieve_rerank.errors import ConfigError, ConnectorError
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.evaluation.audit.findings import findings
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.elasticsearch.conftest import Fill
from tests.connectors.elasticsearch.test_search import TEXTS, documents, langchain
from tests.servers import Server, fresh_index


def test_exact_neighbours_are_those_of_numpy(server: Server) -> None:
    """By reading all vectors: these servers have neither scripts nor the dense_vector query."""
    encoder = HashingEncoder()
    documents = [Document(f"d{i}", f"wing {i} of {i % 7}") for i in range(700)]
    url = server.address(fresh_index(server))
    queries = ["wing 3 of 3", "of wing", "7"]
    heard: list[int] = []
    with ElasticsearchConnector.create(url, encoder=encoder) as index:
        index.index([*documents, Document("x" * 600, "the last wing")])
        found = index.nearest_exact(index.query_vectors(queries), top_k=5, on_progress=heard.append)
        approximate = index.nearest(index.query_vectors(queries)[0], top_k=5)
    assert sum(heard) == 701
    rows = encoder.embed_documents([each.text for each in documents])
    for query, neighbours in zip(queries, found, strict=True):
        scores = rows @ encoder.embed_queries([query])[0]
        best = sorted(scores.tolist(), reverse=True)[:5]
        assert [score for _, score in neighbours] == pytest.approx(best, abs=1e-5)
    assert approximate[0][0] == found[0][0][0] == "d3"


def test_knobs_reach_the_server(server: Server, fill: Fill) -> None:
    encoder = HashingEncoder(128)
    url = fill(langchain(128, index_options={"type": "int8_hnsw"}), documents(encoder))
    with ElasticsearchConnector.connect(url, encoder=encoder, num_candidates=50) as index:
        knobs = {knob.name: knob for knob in index.knobs(top_k=10)}
        assert (knobs["num_candidates"].default, knobs["oversample"].default) == (50, None)
        query = index.query_vectors([TEXTS[0]])[0]
        precise = index.nearest(query, top_k=4, settings={"num_candidates": 10, "oversample": 4})
        assert precise[0][0] == "d0"
        assert precise[0][1] == pytest.approx(1.0, abs=1e-5)
        assert len(index.nearest(query, top_k=4, settings={"oversample": 0})) == 4


def test_whole_vectors_have_no_oversampling(fill: Fill) -> None:
    encoder = HashingEncoder()
    url = fill(langchain(32, index_options={"type": "hnsw"}), documents(encoder))
    with ElasticsearchConnector.connect(url, encoder=encoder) as index:
        [knob] = index.knobs(top_k=10)
        assert isinstance(knob, Knob)
        assert (knob.name, knob.default) == ("num_candidates", 200)  # as searches send it
        assert index.knobs(top_k=300)[0].default == 600


def test_flat_vectors_have_no_graph_to_audit(fill: Fill) -> None:
    encoder = HashingEncoder(64)
    queries = {"q": TEXTS[0]}
    url = fill(langchain(64, index_options={"type": "flat"}), documents(encoder))
    with (
        ElasticsearchConnector.connect(url, encoder=encoder) as index,
        pytest.raises(ConfigError, match=r"nothing was audited.*without a graph \(flat\)"),
    ):
        audit(index, queries)
    url = fill(langchain(64, index_options={"type": "int8_flat"}), documents(encoder))
    with ElasticsearchConnector.connect(url, encoder=encoder) as index:
        found = audit(index, queries, top_ks=[2])
    assert {name for each in found.measured for name in each.settings} == {"oversample"}
    assert findings(found)[0].endswith("its vectors are kept without a graph (int8_flat).")


def test_an_index_without_vectors_has_nothing_to_audit(fill: Fill) -> None:
    with (
        ElasticsearchConnector.connect(fill(None, [{"text": "wing"}])) as index,
        pytest.raises(ConnectorError, match="no vectors"),
    ):
        index.knobs(top_k=10)


@pytest.mark.parametrize("measure", ["cosine", "dot", "l2", "max_inner_product"])
def test_similarities_are_computed_by_the_book(measure: str) -> None:
    query, row = np.array([[3.0, 4.0]], np.float32), np.array([[4.0, 3.0]], np.float32)
    expected = {"cosine": 0.96, "dot": 24.0, "l2": -np.sqrt(2), "max_inner_product": 24.0}
    assert similarities(query, row, measure)[0, 0] == pytest.approx(expected[measure], abs=1e-5)
