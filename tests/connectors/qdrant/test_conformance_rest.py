"""The conformance suite by REST: on the stand-in, and on the server that RR_TEST_QDRANT_URL names.

That URL has no collection: qdrant://host:6333; RR_TEST_QDRANT_API_KEY is its key, if it has one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.address import Address
from retrieve_rerank.connectors.qdrant.record import companion
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.stub import Stub, serving
from tests.connectors.test_conformance import *  # noqa: F403 - the tests themselves

del test_every_registered_connector_is_tested_here  # noqa: F821 - it is about all connectors

SERVER = os.environ.get("RR_TEST_QDRANT_URL")
KEY = os.environ.get("RR_TEST_QDRANT_API_KEY")


@pytest.fixture(params=["stand-in", "server-rest", "server-grpc"])
def connector(
    request: pytest.FixtureRequest, encoder: HashingEncoder | None
) -> Iterator[QdrantConnector]:
    if request.param == "stand-in":
        with serving(Stub()) as stub, QdrantConnector.create(stub.url, encoder=encoder) as made:
            yield made
        return
    if SERVER is None:
        pytest.skip("RR_TEST_QDRANT_URL names no server")
    url = f"{SERVER.rstrip('/')}/rr-test-{uuid.uuid4()}"
    grpc = request.param == "server-grpc"
    with QdrantConnector.create(url, encoder=encoder, api_key=KEY, grpc=grpc) as made:
        yield made
    address = Address.parse(url, api_key=KEY)
    client = address.open(timeout_s=60)
    for name in (address.collection, companion(address.collection)):  # of a server before 1.16
        client.delete_collection(name)
    client.close()
