"""The conformance suite by REST: on the stand-in, and on the server that RR_TEST_QDRANT_URL names.

That URL has no collection: qdrant://host:6333; RR_TEST_QDRANT_API_KEY is its key, if it has one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from retrieve_rerank import Connector, Encoder
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.address import Address
from retrieve_rerank.connectors.qdrant.record import companion
from retrieve_rerank.testing import ConnectorConformance, HashingEncoder
from tests.connectors.qdrant.stub import Stub, serving
from tests.connectors.word_conformance import WordConformance

SERVER = os.environ.get("RR_TEST_QDRANT_URL")
KEY = os.environ.get("RR_TEST_QDRANT_API_KEY")


class TestRest(ConnectorConformance, WordConformance):
    @pytest.fixture(autouse=True, params=["lexical", "hybrid"])
    def _rankings(self, request: pytest.FixtureRequest) -> None:
        self._hybrid = request.param == "hybrid"

    @pytest.fixture(autouse=True, params=["stand-in", "server-rest", "server-grpc"])
    def _server(self, request: pytest.FixtureRequest) -> Iterator[None]:
        if request.param != "stand-in" and SERVER is None:
            pytest.skip("RR_TEST_QDRANT_URL names no server")
        self._at = request.param
        with ExitStack() as self._cleaning:
            yield

    def encoder(self) -> HashingEncoder | None:
        return HashingEncoder() if self._hybrid else None

    def connector(self, encoder: Encoder | None) -> Connector:
        if self._at == "stand-in":
            stub = self._cleaning.enter_context(serving(Stub()))
            return QdrantConnector.create(stub.url, encoder=encoder)
        url = f"{SERVER.rstrip('/')}/rr-test-{uuid.uuid4()}" if SERVER else ""
        self._cleaning.callback(delete, url)
        grpc = self._at == "server-grpc"
        return QdrantConnector.create(url, encoder=encoder, api_key=KEY, grpc=grpc)


def delete(url: str) -> None:
    """Delete the collection, and what belongs to it of a server before 1.16."""
    address = Address.parse(url, api_key=KEY)
    client = address.open(timeout_s=60)
    for name in (address.collection, companion(address.collection)):
        client.delete_collection(name)
    client.close()
