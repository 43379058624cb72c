"""Under the tightest strict mode a collection still does what it can, or says why not."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from retrieve_rerank import Document, Retriever
from retrieve_rerank.cli import main
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings, tensor_status
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import langchain
from tests.connectors.qdrant.stub import Fault, Stub

ENCODER = HashingEncoder()
STRICT = {
    **{"max_timeout": 2, "search_allow_exact": False, "max_query_limit": 20},
    **{"condition_max_size": 7, "search_max_batchsize": 3, "write_rate_limit": 5},
}
DOCUMENTS = [Document(f"d{n}", f"wing {n % 9} of the kind {n}", {"n": n}) for n in range(60)]


@pytest.fixture
def strict(stub: Stub) -> Stub:
    stub.strict = STRICT
    return stub


def create(stub: Stub, **options: Any) -> QdrantConnector:
    connector = QdrantConnector.create(stub.url, encoder=ENCODER, **options)
    connector.index(DOCUMENTS)
    stub.seen.clear()
    return connector


def test_a_search_for_more_than_a_request_may_bring_is_complete(strict: Stub) -> None:
    with create(strict) as connector:
        found = connector.search_max_sim("wing 3 of the kind 5", top_k=50)
        assert len(found.hits) == len(found.scores) == 50
        assert [hit.rank for hit in found.hits] == list(range(1, 51))
        strict.strict = {}
        connector.schema()
        expected = connector.search_max_sim("wing 3 of the kind 5", top_k=50)
        assert [hit.document for hit in found.hits] == [hit.document for hit in expected.hits]
        assert found.scores == pytest.approx(expected.scores)


def test_what_the_server_fuses_is_said_to_be_fewer(strict: Stub) -> None:
    with create(strict, fusion=Fusion("server-rrf")) as connector:
        result = Retriever(connector).search("wing 3", top_k=50)
        assert len(result.hits) == 20
        assert "lets it fuse 20 hits" in result.stages[0].notes[0]


def test_documents_are_counted_by_their_ids_where_nothing_is_counted_exactly(strict: Stub) -> None:
    with create(strict) as connector:
        assert connector.count() == 60
        assert {path.rpartition("/")[2] for _, path, _ in strict.seen} == {"docs", "scroll"}
        schema = connector.schema()
        assert schema.documents == 60
        assert "estimate" in schema.details["document_count"]


def test_a_batch_beyond_the_rate_of_writes_is_split(strict: Stub) -> None:
    with create(strict) as connector:
        assert connector.count() == 60
        assert connector.delete([f"d{n}" for n in range(13)]) == 13
        assert connector.count() == 47


def test_tensors_are_added_and_dropped(strict: Stub) -> None:
    with create(strict, tensors=None) as connector:
        settings = tensor_settings(ENCODER, dtype="float16", pooling_factor=1)
        assert add_tensors(connector, ENCODER, settings).added == 60
        status = tensor_status(connector)
        assert (status.present, status.missing) == (60, 0)
        assert len(connector.max_sim("wing 3", [f"d{n}" for n in range(30)])) == 30
        connector.drop_tensors()
        assert connector.tensor_settings() is None
        assert connector.tensor_hashes(["d1"]) == {}


def test_the_audit_asks_for_more_neighbours_in_pages(strict: Stub) -> None:
    with create(strict) as connector:
        vectors = connector.query_vectors(["wing 3", "kind 8"])
        exact = connector.nearest_exact(vectors, top_k=30)
        found = connector.nearest(vectors[0], top_k=30)
        assert [id_ for id_, _ in found][:5] == [id_ for id_, _ in exact[0]][:5]
        assert len(found) == 30
        strict.strict = {"max_query_limit": 20}
        connector.schema()
        again = connector.nearest_exact(vectors, top_k=30)
        assert [len(each) for each in again] == [30, 30]


@pytest.mark.parametrize("version", ["1.13.4", "1.20.0"])
def test_the_time_that_is_allowed_is_known_before_it_is_taken(strict: Stub, version: str) -> None:
    strict.version = version
    strict.client.close()
    strict.client = langchain()
    for command, code in (
        (["info", "--index", strict.url, "--json"], 0),
        (["search", "wing", "--index", strict.url], 1),  # without an encoder there is no ranking
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == code, done.output
        assert "Limit exceeded" not in done.output
    with QdrantConnector.connect(strict.url, encoder=ENCODER) as connector:
        assert connector.search("wing", top_k=2)


def test_what_is_waited_for_is_said(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    with create(stub) as connector:
        stub.faults = [Fault(429, "Rate limit exceeded", headers={"Retry-After": "1"})]
        result = Retriever(connector).search("wing 3")
        assert "limits the rate of requests; waited 1." in result.stages[0].notes[0]
        assert "limits the rate of requests; trying again in 1 s" in caplog.text
