"""Talking to a server by REST, as far as a stand-in can tell: not run on a real server."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import numpy as np
import pytest

from retrieve_rerank import Document, Range
from retrieve_rerank.base import TensorSettings, TokenTensor
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import QdrantConnector, writer
from retrieve_rerank.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    ConnectorError,
    DeadlineExceededError,
    IndexExistsError,
    IndexNotFoundError,
    LimitExceededError,
    PartialWriteError,
    PermissionDeniedError,
    RateLimitedError,
    UnsupportedServerError,
)
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.stub import Fault, Stub

ENCODER = HashingEncoder()
DOCUMENTS = [
    Document("lift", "the lift of a thin wing", {"year": 1950, "author": {"name": "Ada"}}),
    Document("drag", "drag polar of a slender body", {"year": 1960, "author": {"name": "Bob"}}),
    Document("both", "lift and drag of a wing", {"year": 1970, "tags": ["a", "b"]}),
]
BATCH = "POST /collections/docs/points/query/batch"
BY_IDS = "POST /collections/docs/points"


def fill(stub: Stub, **options: Any) -> QdrantConnector:
    connector = QdrantConnector.create(stub.url, encoder=ENCODER, **options)
    connector.index(DOCUMENTS)
    stub.seen.clear()
    return connector


def test_documents_are_read_once_of_the_fused_hits_alone(stub: Stub) -> None:
    with fill(stub) as connector:
        assert connector.search("wing", top_k=2)
        assert stub.calls == [BATCH, BY_IDS]
        rankings, documents = stub.seen[0][2]["searches"], stub.seen[1][2]
        assert [each["with_payload"] for each in rankings] == [False, False]
        assert len(documents["ids"]) == 2
        stub.seen.clear()
        found = connector.search_max_sim("wing", top_k=3)
        assert stub.calls == [BATCH] * 2  # MaxSim brings the documents
        assert found.scores.keys() == {hit.document.id for hit in found.hits}
        [request] = stub.seen[1][2]["searches"]
        assert request["with_payload"] and len(request["prefetch"][0]["filter"]["must"]) == 1


def test_one_ranking_alone_takes_one_request(stub: Stub) -> None:
    with fill(stub, fusion=Fusion(weights={"bm25": 0})) as connector:
        [first, *_] = connector.search("wing", top_k=3)
        assert first.document.text
        assert stub.calls == [BATCH]


@pytest.mark.parametrize("shards", [1, 4, 12])
def test_max_sim_scores_every_hit_on_any_number_of_shards(stub: Stub, shards: int) -> None:
    stub.shards = shards
    with QdrantConnector.create(stub.url, encoder=ENCODER) as connector:
        texts = [f"wing {n % 7} of kind {n}" for n in range(60)]
        connector.index([Document(f"d{n}", text) for n, text in enumerate(texts)])
        found = connector.search_max_sim("wing 3 of kind 5", top_k=20)
        assert found.scores.keys() == {hit.document.id for hit in found.hits}
        assert found.scores == connector.max_sim("wing 3 of kind 5", list(found.scores))


def test_documents_without_tensors_are_found_and_have_no_score(stub: Stub) -> None:
    with fill(stub) as connector:
        connector.delete_tensors(["drag"])
        stub.seen.clear()
        found = connector.search_max_sim("wing drag", top_k=3)
        assert {hit.document.id: hit.document.text for hit in found.hits} == {
            document.id: document.text for document in DOCUMENTS
        }
        assert found.scores.keys() == {"lift", "both"}
        assert stub.calls == [BATCH, BATCH, BY_IDS]


def test_tokens_of_a_quantised_collection_are_compared_as_they_are(stub: Stub) -> None:
    fill(stub).close()
    stub.quantization = {"scalar": {"type": "int8"}}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        stub.seen.clear()
        connector.search_max_sim("wing", top_k=3)
        assert stub.seen[1][2]["searches"][0]["params"]["quantization"] == {"ignore": True}
        connector.max_sim("wing", ["lift"])
        assert stub.seen[2][2]["searches"][0]["params"]["quantization"] == {"ignore": True}


def test_max_sim_keeps_to_strict_mode(stub: Stub) -> None:
    fill(stub).close()
    stub.strict = {"search_allow_exact": False, "condition_max_size": 2, "max_query_limit": 2}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        found = connector.search_max_sim("wing", top_k=3)
        assert len(found.hits) == len(found.scores) == 3
        assert len(connector.max_sim("wing", ["lift", "drag", "both"])) == 3


async def test_async_answers_as_sync_does_in_as_many_requests(stub: Stub) -> None:
    connector = fill(stub)
    expected = connector.search("wing", top_k=3, filter={"year": Range(lt=1965)})
    stub.seen.clear()
    answers = await asyncio.gather(
        *(connector.asearch("wing", top_k=3, filter={"year": Range(lt=1965)}) for _ in range(4))
    )
    assert [[hit.document for hit in hits] for hits in answers] == [
        [hit.document for hit in expected]
    ] * 4
    assert sorted(stub.calls) == [BY_IDS] * 4 + [BATCH] * 4
    found = await connector.asearch_max_sim("wing", top_k=3)
    assert found.scores
    await connector.aclose()


def test_connecting_to_an_own_index_takes_three_requests(stub: Stub) -> None:
    fill(stub).close()
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        assert stub.calls == ["GET /", "GET /aliases", "GET /collections/docs"]
        assert connector.schema().encoder == "hashing"


def test_fields_of_the_metadata_get_an_index_of_their_type(stub: Stub) -> None:
    with fill(stub) as connector:
        assert stub.indexes == {
            "metadata.author.name": "keyword",
            "metadata.tags": "keyword",
            "metadata.year": "integer",
        }
        connector.index([Document("new", "x", {"year": 1950.5, "tags": 7})])
        assert stub.indexes["metadata.year"] == "float"
        assert "metadata.tags" not in stub.indexes


def test_an_index_that_an_interrupted_run_did_not_make_is_made_by_the_next(stub: Stub) -> None:
    with QdrantConnector.create(stub.url, encoder=ENCODER) as connector:
        stub.forbidden = ("PUT /collections/docs/index",)
        with pytest.raises(PermissionDeniedError):
            connector.index(DOCUMENTS)
        assert connector.schema().fields  # which are saved before
        stub.forbidden = ()
        connector.index(DOCUMENTS[:1])
        assert {"metadata.author.name", "metadata.tags", "metadata.year"} == stub.indexes.keys()
        stub.seen.clear()
        connector.index(DOCUMENTS)
        assert not any("index" in call for call in stub.calls)


def test_the_graph_is_walked_wide_enough_for_the_depth(stub: Stub) -> None:
    with fill(stub) as connector:
        connector.search("wing", top_k=400)
        dense, lexical = stub.seen[0][2]["searches"]
        assert dense["params"]["hnsw_ef"] == 400
        assert dense["limit"] == lexical["limit"] == 400
        assert "params" not in lexical


def test_quantised_vectors_are_over_fetched_within_strict_mode(stub: Stub) -> None:
    fill(stub).close()
    stub.quantization = {"scalar": {"type": "int8"}}
    stub.strict = {"search_max_oversampling": 2.0}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        [field] = connector.schema().details["vector_fields"]
        assert field["quantization"] == "scalar"
        stub.seen.clear()
        connector.search("wing", top_k=3)
        sent = stub.seen[0][2]["searches"][0]["params"]["quantization"]
        assert sent == {"rescore": True, "oversampling": 2.0}
        assert [knob.name for knob in connector.knobs(top_k=10)] == ["hnsw_ef", "oversample"]
        connector.nearest_exact(connector.query_vectors(["wing"]), top_k=1)
        assert stub.seen[-1][2]["searches"][0]["params"] == {
            "exact": True,
            "quantization": {"ignore": True},
        }


def test_odd_keys_of_the_metadata_go_without_an_index(stub: Stub) -> None:
    with fill(stub) as connector:
        connector.index([Document("odd", "x", {"a b": 1, "c": {"d": [{"e": "f"}]}})])
        assert {"metadata.c.d[].e", "metadata.year"} <= stub.indexes.keys()
        assert not any('"' in path for path in stub.indexes)
        assert [h.document.id for h in connector.search("x", top_k=9, filter={"a b": 1})] == ["odd"]


def test_the_time_left_goes_to_the_server_in_whole_seconds(stub: Stub) -> None:
    with fill(stub) as connector:
        connector.search("wing", top_k=3, timeout_s=2.5)
        with pytest.raises(DeadlineExceededError):
            connector.search("wing", top_k=3, timeout_s=1e-9)


async def test_a_server_that_is_too_slow_is_given_up(stub: Stub) -> None:
    connector = fill(stub)
    stub.delay_s = 1.5
    with pytest.raises(DeadlineExceededError):
        await connector.asearch("wing", top_k=3, timeout_s=0.2)
    with pytest.raises(DeadlineExceededError):
        await asyncio.to_thread(connector.search, "wing", top_k=3, timeout_s=1)
    stub.delay_s = 0.0
    assert await connector.asearch("wing", top_k=3, timeout_s=60)
    await connector.aclose()


def test_another_event_loop_has_a_client_of_its_own(stub: Stub) -> None:
    with fill(stub) as connector:
        for _ in range(2):
            assert asyncio.run(connector.asearch("wing", top_k=3))


# --- failures --------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(
        ConnectionFailedError, match=r"qdrant://127\.0\.0\.1:9/docs cannot be reach"
    ):
        QdrantConnector.connect("qdrant://127.0.0.1:9/docs")


def test_a_collection_that_is_not_there_is_said_to_be_so(stub: Stub) -> None:
    with pytest.raises(IndexNotFoundError, match=r"no index 'docs' at .* the server has: none"):
        QdrantConnector.connect(stub.url)


def test_making_an_index_twice_is_an_error(stub: Stub) -> None:
    with fill(stub), pytest.raises(IndexExistsError, match="already exists"):
        QdrantConnector.create(stub.url, encoder=None)


def test_something_else_than_qdrant_is_said_to_be_so(stub: Stub) -> None:
    stub.title = "You Know, for Search"
    with pytest.raises(UnsupportedServerError, match="is not Qdrant: it calls itself 'You Know"):
        QdrantConnector.connect(stub.url)
    stub.faults = [Fault(200, body=b"<html>It works!</html>")]
    with pytest.raises(UnsupportedServerError, match="is not Qdrant, or a proxy"):
        QdrantConnector.connect(stub.url)
    stub.faults = [Fault(301, body=b"", headers={"Location": "https://example.org"})]
    with pytest.raises(UnsupportedServerError, match="whether it speaks https"):
        QdrantConnector.connect(stub.url)


def test_too_old_a_server_is_said_to_be_so(stub: Stub) -> None:
    stub.version = "1.9.7"
    with pytest.raises(UnsupportedServerError, match=r"is Qdrant 1\.9\.7; 1\.10 or later"):
        QdrantConnector.connect(stub.url)


def test_a_key_opens_and_is_never_shown(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fill(stub).close()
    stub.api_key = "s3cret"
    with_key = stub.url.replace("qdrant://", "qdrant://s3cret@")
    ways: list[tuple[str, dict[str, Any]]] = [
        (stub.url, {"api_key": "s3cret"}),
        (with_key, {}),
        (stub.url, {"password": "s3cret"}),
    ]
    for url, options in ways:
        with QdrantConnector.connect(url, encoder=ENCODER, **options) as connector:
            assert connector.search("wing", top_k=1)
            assert "s3cret" not in f"{connector.schema()}{connector!r}{vars(connector)}"
    wrong = stub.url.replace("qdrant://", "qdrant://wr0ng@")
    with pytest.raises(AuthenticationError, match="Must provide an API key") as caught:
        QdrantConnector.connect(wrong)
    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in caplog.text


def test_what_passes_is_tried_again(stub: Stub) -> None:
    with fill(stub) as connector:
        stub.faults = [
            Fault(503, "Service unavailable"),
            Fault(429, "later", headers={"Retry-After": "0"}),
        ]
        assert connector.search("wing", top_k=3)
        assert stub.calls == [*[BATCH] * 3, BY_IDS]


def test_retry_after_is_granted_within_the_time_there_is(stub: Stub) -> None:
    with fill(stub) as connector:
        stub.faults = [Fault(429, "Rate limit exceeded", headers={"Retry-After": "1"})]
        started = time.monotonic()
        assert connector.search("wing", top_k=3)
        assert time.monotonic() - started >= 1
        for timeout_s, wish in ((0.5, "1"), (None, "3600")):
            stub.faults = [Fault(429, "Rate limit exceeded", headers={"Retry-After": wish})]
            with pytest.raises(RateLimitedError, match="Rate limit exceeded") as caught:
                connector.search("wing", top_k=3, timeout_s=timeout_s)
            assert caught.value.retry_after_s == float(wish)


def test_what_does_not_pass_is_not_tried_again(stub: Stub) -> None:
    with fill(stub) as connector:
        stub.faults = [Fault(500, "Service internal error: broken")]
        with pytest.raises(ConnectorError, match="broken"):
            connector.search("wing", top_k=3)
        assert stub.calls == [BATCH, "GET /aliases", "GET /collections/docs"]  # is it the same one?
        stub.faults = [Fault(408, "Timeout error")]
        with pytest.raises(DeadlineExceededError):
            connector.search("wing", top_k=3)


def test_a_scan_goes_on_where_the_server_broke_off(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.connectors.qdrant.reader.PAGE", 2)
    with fill(stub) as connector:
        documents = connector.scan()
        first = next(documents)
        stub.faults = [Fault(502), Fault(503, "starting")]
        rest = list(documents)
        assert {d.id for d in [first, *rest]} == {"lift", "drag", "both"}
        assert len(rest) == 2


def test_a_closed_connector_says_so(stub: Stub) -> None:
    connector = fill(stub)
    connector.close()
    with pytest.raises(ConnectorError, match="is closed; connect anew"):
        connector.search("wing", top_k=1)


# --- strict mode -----------------------------------------------------------------------------


def test_strict_limits_bound_every_request(stub: Stub) -> None:
    fill(stub).close()
    stub.strict = {"max_query_limit": 30, "search_max_hnsw_ef": 64, "search_max_batchsize": 1}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        stub.seen.clear()
        found = connector.search_max_sim("wing", top_k=200)
        assert len(found.hits) == 3
        assert found.scores
        searches = [call[2]["searches"] for call in stub.seen]
        assert all(len(each) == 1 for each in searches)
        assert [(each["limit"], each.get("offset", 0)) for [each] in searches[:7]] == [
            *((30, start) for start in range(0, 180, 30)),
            (20, 180),
        ]
        assert {d.id for d in connector.scan()} == {"lift", "drag", "both"}


def test_an_unindexed_filter_under_strict_mode_says_what_to_do(stub: Stub) -> None:
    fill(stub).close()
    stub.strict = {"unindexed_filtering_retrieve": False}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        assert connector.search("wing", top_k=1, filter={"year": 1950})
        del stub.indexes["metadata.tags"]
        connector.schema()
        with pytest.raises(LimitExceededError, match=r"wants a payload index of 'metadata\.tags'"):
            connector.search("wing", top_k=1, filter={"tags": "a"})
        stub.seen.clear()
        stub.faults = [
            Fault(400, 'Bad request: Index required but not found for "x". Help: Create an index')
        ]
        with pytest.raises(LimitExceededError, match="Index required"):
            connector.search("wing", top_k=1)


def test_exact_search_reads_the_vectors_where_strict_mode_forbids_it(stub: Stub) -> None:
    with fill(stub) as connector:
        vectors = connector.query_vectors(["wing", "drag of a body"])
        expected = connector.nearest_exact(vectors, top_k=2)
        assert stub.seen[-1][2]["searches"][0]["params"] == {"exact": True}
        assert connector.nearest(vectors[0], top_k=2, settings={"hnsw_ef": 16}) == expected[0]
        assert [knob.name for knob in connector.knobs(top_k=10)] == ["hnsw_ef"]
    stub.strict = {"search_allow_exact": False, "search_max_hnsw_ef": 100}
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        heard: list[int] = []
        found = connector.nearest_exact(vectors, top_k=2, on_progress=heard.append)
        assert sum(heard) == 3
        assert [[id_ for id_, _ in each] for each in found] == [
            [id_ for id_, _ in each] for each in expected
        ]
        assert np.allclose(
            [[s for _, s in e] for e in found], [[s for _, s in e] for e in expected]
        )
        assert connector.knobs(top_k=10)[0].values == [16, 32, 64]


# --- versions --------------------------------------------------------------------------------


def test_an_older_server_keeps_the_record_in_a_companion(stub: Stub) -> None:
    stub.version = "1.15.5"
    fill(stub).close()
    assert stub.client.collection_exists("docs.retrieve_rerank")
    assert stub.client.count("docs").count == 3
    with QdrantConnector.connect(stub.url, encoder=ENCODER) as connector:
        assert connector.schema().rankings == ("dense", "bm25")
        assert connector.search("wing", top_k=3, filter={"author.name": "Ada"})


def test_parts_of_a_scan_need_1_19(stub: Stub) -> None:
    stub.version = "1.18.2"
    with fill(stub) as connector:
        with pytest.raises(UnsupportedServerError, match=r"needs Qdrant 1\.19; this is 1\.18"):
            list(connector.scan_part(0, parts=2))
        assert len(list(connector.scan_part(0, parts=1))) == 3


def test_tensors_are_added_by_a_server_of_1_18(stub: Stub) -> None:
    stub.version = "1.18.2"
    settings = TensorSettings("hashing", ENCODER.fingerprint, 32, "float16")
    with fill(stub, tensors=None) as connector:
        eight = TensorSettings("hashing", ENCODER.fingerprint, 32, "int8")
        with pytest.raises(ConfigError, match=r"need Qdrant 1\.20; this is 1\.18: use float16"):
            connector.create_tensors(eight)
        assert connector.tensor_dtype == settings.dtype
        stub.seen.clear()
        connector.create_tensors(settings)
        assert [call for call in stub.calls if not call.startswith("GET")] == [
            "PATCH /collections/docs",  # the record
            "PUT /collections/docs/vectors/_rr_tokens",
            "PATCH /collections/docs",  # no graph
        ]
        diff = [body for _, _, body in stub.seen if body][-1]["vectors"]["_rr_tokens"]
        assert diff == {
            "hnsw_config": {"m": 0, "payload_m": 0},
            "on_disk": True,
            "quantization_config": "Disabled",
        }
        connector.write_tensors([TokenTensor("lift", "h", ENCODER.encode_queries(["x"])[0].tokens)])
        assert connector.tensor_hashes(["lift", "drag"]) == {"lift": "h"}


def test_the_server_fuses_where_asked_and_able(stub: Stub) -> None:
    fill(stub).close()
    fusion = Fusion("server-rrf")
    with QdrantConnector.connect(stub.url, encoder=ENCODER, fusion=fusion) as connector:
        stub.seen.clear()
        server = connector.search("drag of a wing", top_k=3)
        [request] = stub.seen[0][2]["searches"]
        assert request["query"] == {"rrf": {"k": 61}}
        assert len(request["prefetch"]) == 2
    with QdrantConnector.connect(stub.url, encoder=ENCODER, fusion=Fusion("rrf")) as connector:
        ours = connector.search("drag of a wing", top_k=3)
    assert [h.document.id for h in server] == [h.document.id for h in ours]
    assert [h.score for h in server] == pytest.approx([h.score for h in ours])
    with pytest.raises(ConfigError, match="Qdrant has no server-linear; it has server-rrf"):
        QdrantConnector.connect(stub.url, encoder=ENCODER, fusion=Fusion("server-linear"))
    stub.version = "1.15.0"
    with pytest.raises(UnsupportedServerError, match=r"needs Qdrant 1\.16; this is 1\.15"):
        with_record(stub, fusion).search("drag of a wing", top_k=3)


def with_record(stub: Stub, fusion: Fusion) -> QdrantConnector:
    stub.client.delete_collection("docs")
    return fill(stub, fusion=fusion)


# --- writing ---------------------------------------------------------------------------------


def test_batches_stay_within_what_a_server_takes(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BATCH_BYTES", 200_000)
    stub.strict = {"upsert_max_batchsize": 5}
    with QdrantConnector.create(stub.url, encoder=ENCODER) as connector:
        connector.index(Document(f"d{i}", "wing " * 50) for i in range(23))
        puts = [
            body for method, path, body in stub.seen if path.endswith("/points") and method == "PUT"
        ]
        assert max(len(body["points"]) for body in puts) == 5
        assert connector.count() == 23


def test_documents_that_are_refused_are_named_and_the_others_written(stub: Stub) -> None:
    connector = QdrantConnector.create(stub.url, encoder=None)
    documents = [*DOCUMENTS, Document("huge", "x" * (33 << 20))]
    with (
        connector,
        pytest.raises(PartialWriteError, match=r"'huge', for one: .*larger than") as caught,
    ):
        connector.index(documents)
    assert caught.value.failures.keys() == {"huge"}
    assert stub.client.count("docs").count == 3


def test_a_write_is_repeated_until_it_is_done(stub: Stub) -> None:
    with QdrantConnector.create(stub.url, encoder=None) as connector:
        connector.index(DOCUMENTS[:1])
        stub.faults = [Fault(503, "busy")]
        assert connector.index(DOCUMENTS).indexed == 2
        assert connector.count() == 3
