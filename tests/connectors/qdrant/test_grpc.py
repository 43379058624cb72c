"""Talking to a server by gRPC, as far as a stand-in can tell: not run on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Document, Filter, Range
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    IndexMismatchError,
    IndexNotFoundError,
    RateLimitedError,
)
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.grpc_stub import Service, serving
from tests.connectors.qdrant.stub import Stub

ENCODER = HashingEncoder()
DOCUMENTS = [
    Document("lift", "the lift of a thin wing", {"year": 1950, "tags": ["a", 1.5]}),
    Document("drag", "drag polar of a slender body", {"year": 1960}),
    Document("heat", "heat transfer in a pipe", {"year": 1970, "open": True}),
]


@pytest.fixture
def service() -> Iterator[Service]:
    client = QdrantClient(":memory:")
    QdrantConnector.create("qdrant+local:///docs", encoder=ENCODER, client=client)
    service = Service(client)
    with serving(service):
        yield service
    client.close()


def connect(service: Service) -> QdrantConnector:
    return QdrantConnector.connect(service.url, grpc=True, encoder=ENCODER)


def test_documents_go_there_and_back(service: Service) -> None:
    with connect(service) as connector:
        assert connector.index(DOCUMENTS).indexed == 3
        assert connector.index(DOCUMENTS).unchanged == 3
        assert connector.get(["heat", "lift"]) == [DOCUMENTS[2], DOCUMENTS[0]]
        assert sorted(document.id for document in connector.scan()) == ["drag", "heat", "lift"]
        parts = [document.id for i in range(2) for document in connector.scan_part(i, parts=2)]
        assert sorted(parts) == ["drag", "heat", "lift"]
        assert connector.count() == 3
        assert connector.schema().rankings == ("dense", "bm25")


async def test_sync_and_async_answer_alike(service: Service) -> None:
    connector = connect(service)
    await asyncio.to_thread(connector.index, DOCUMENTS)
    service.seen.clear()
    filter: Filter = {"year": Range(lt=1965), "tags": "a"}
    hits = await asyncio.to_thread(connector.search, "wing", top_k=3, filter=filter)
    assert [hit.document for hit in hits] == DOCUMENTS[:1]
    again = await connector.asearch("wing", top_k=3, filter=filter)
    assert [(hit.document, hit.sources.keys()) for hit in again] == [
        (hit.document, hit.sources.keys()) for hit in hits
    ]
    found = await connector.asearch_max_sim("wing", top_k=3)
    assert len(found.scores) == 3
    assert sorted(service.seen) == ["Get"] * 2 + ["QueryBatch"] * 4
    await connector.aclose()


def test_what_grpc_says_arrives_as_our_errors(service: Service) -> None:
    with connect(service) as connector:
        connector.index(DOCUMENTS)
        for code, details, expected in (
            (grpc.StatusCode.NOT_FOUND, "Not found: Collection", IndexNotFoundError),
            (
                grpc.StatusCode.INVALID_ARGUMENT,
                "Wrong input: Vector dimension error: expected dim: 64, got 2",
                IndexMismatchError,
            ),
        ):
            service.faults = [(code, details, ())]
            with pytest.raises(expected, match=details):
                connector.search("wing", top_k=1)
        service.faults = [(grpc.StatusCode.UNAVAILABLE, "restarting", ())]
        assert connector.search("wing", top_k=1)
        later = (("retry-after", "3600"),)
        service.faults = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", later)]
        with pytest.raises(RateLimitedError, match="slow down") as caught:
            connector.search("wing", top_k=1)
        assert caught.value.retry_after_s == 3600


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(ConnectionFailedError, match=r"qdrant://127\.0\.0\.1:8/docs"):
        QdrantConnector.connect("qdrant://127.0.0.1:8/docs", grpc=True)


def test_a_port_of_its_own_is_taken(service: Service) -> None:
    with QdrantConnector.connect(
        "qdrant://127.0.0.1:9/docs", grpc=True, grpc_port=service.port, encoder=ENCODER
    ) as connector:
        assert connector.count() == 0


async def test_a_stalled_server_takes_the_time_of_reads_not_that_of_writes(
    service: Service,
) -> None:
    service.stalls_s = {"HealthCheck": 3}
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError, match="no answer in time"):
        await asyncio.to_thread(
            QdrantConnector.connect, service.url, grpc=True, timeout_s=0.3, encoder=ENCODER
        )
    assert time.monotonic() - started < 3
    service.stalls_s = {}
    connector = connect(service)
    service.stalls_s = {"Get": 3}  # of the collection, which an index without documents reads anew
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await asyncio.to_thread(connector.search, "wing", top_k=1, timeout_s=0.3)
    with pytest.raises(DeadlineExceededError):
        await connector.asearch("wing", top_k=1, timeout_s=0.3)
    assert time.monotonic() - started < 3
    await connector.aclose()


def test_keys_have_one_order_at_each_call(service: Service) -> None:
    metadata: dict[str, Any] = {key: n for n, key in enumerate("qwertyuiopasdfgh")}
    metadata["nested"] = [{"z": 1, "y": {"b": 1, "a": 2}}]
    with connect(service) as connector:
        connector.index([Document("d", "wing", metadata)])
        [document] = connector.get(["d"])
        [hit] = connector.search("wing", top_k=1)
        assert document.metadata == metadata
        assert list(document.metadata) == sorted(metadata)
        assert str(hit.document) == str(document)
        assert list(document.metadata["nested"][0]["y"]) == ["a", "b"]


def test_a_wrong_port_or_scheme_has_its_hint(service: Service, stub: Stub) -> None:
    rest = int(stub.url.rpartition(":")[2].split("/")[0])
    cases: list[tuple[str, dict[str, Any], str]] = [
        (f"qdrant://127.0.0.1:{service.port}/docs", {}, "gRPC's port.*set grpc = true"),
        (
            f"qdrant://127.0.0.1:{service.port}/docs",
            {"grpc": True},
            rf"by gRPC at port {service.port + 1}.*grpc_port names another",
        ),
        (
            f"qdrant://127.0.0.1:{rest}/docs",
            {"grpc": True, "grpc_port": rest},
            "REST's port in the URL",
        ),
        (
            f"qdrant+https://127.0.0.1:{service.port - 1}/docs",
            {"grpc": True},
            f"by gRPC at port {service.port} does not speak https.*expected qdrant://",
        ),
        (f"qdrant+https://127.0.0.1:{rest}/docs", {}, "does not speak https.*expected qdrant://"),
    ]
    for url, options, hint in cases:
        with pytest.raises(ConnectionFailedError, match=hint):
            QdrantConnector.connect(url, **options)
