"""A server that is away for a moment ends no scan and no writing; a search only by its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Document
from retrieve_rerank.base import Connector
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector, reader
from retrieve_rerank.errors import ConnectionFailedError, DeadlineExceededError
from tests.connectors.qdrant import grpc_stub
from tests.connectors.qdrant.stub import Stub, serving
from tests.outages import Relay, relaying
from tests.servers import elasticsearch, fresh_index

AWAY_S = 1.6  # longer than a search without a deadline goes on trying
OLD = [Document(f"old{n}", f"wing {n}") for n in range(45)]
NEW = [Document(f"new{n}", f"drag {n}") for n in range(45)]


@pytest.fixture(params=["qdrant-rest", "qdrant-grpc", "elasticsearch"])
def behind_a_relay(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Connector, Relay]]:
    monkeypatch.setattr(reader, "PAGE", 20)
    if request.param == "elasticsearch":
        server = elasticsearch()
        index = fresh_index(server)
        with (
            relaying(urlsplit(server.url).port or 0) as relay,
            ElasticsearchConnector.create(
                f"elasticsearch://127.0.0.1:{relay.port}/{index}", encoder=None
            ) as es,
        ):
            yield es, relay
    elif request.param == "qdrant-rest":
        with serving(Stub()) as stub, relaying(urlsplit(stub.url).port or 0) as relay:
            url = f"qdrant://127.0.0.1:{relay.port}/docs"
            with QdrantConnector.create(url, encoder=None) as rest:
                yield rest, relay
    else:
        client = QdrantClient(":memory:")
        QdrantConnector.create("qdrant+local:///docs", encoder=None, client=client)
        service = grpc_stub.Service(client)
        with grpc_stub.serving(service), relaying(service.port) as relay:
            url = f"qdrant://127.0.0.1:{relay.port}/docs"
            with QdrantConnector.connect(url, grpc=True, grpc_port=relay.port) as grpc:
                yield grpc, relay
        client.close()


def test_scans_and_writes_outlast_an_absence_and_searches_their_deadline_alone(
    behind_a_relay: tuple[Connector, Relay],
) -> None:
    connector, relay = behind_a_relay
    connector.index(OLD)
    scanning = connector.scan()
    seen = [next(scanning).id]
    relay.down()
    started = time.monotonic()
    threading.Timer(AWAY_S, relay.up).start()
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(connector.index, NEW)
        searching = threads.submit(connector.search, "wing", top_k=3, timeout_s=30)
        with pytest.raises((ConnectionFailedError, DeadlineExceededError)):
            connector.search("wing", top_k=3, timeout_s=0.3)
        assert time.monotonic() - started < AWAY_S
        assert not writing.done()
        seen += [document.id for document in scanning]
        assert writing.result().indexed == len(NEW)
        assert searching.result()
    assert {document.id for document in OLD} <= set(seen)
    assert len(seen) == len(set(seen))
    assert connector.count() == len(OLD) + len(NEW)
