"""An empty index of every registered connector, with and without an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from retrieve_rerank import Connector, Encoder
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.testing import HashingEncoder
from tests.servers import delete_indexes, elasticsearch, fresh_index

MAKERS: dict[str, Callable[[Path, Encoder | None], Connector]] = {
    "embedded": lambda folder, encoder: EmbeddedConnector.create(folder, encoder=encoder),
    "qdrant+local": lambda folder, encoder: QdrantConnector.create(
        "qdrant+local:///docs", encoder=encoder, client=QdrantClient(":memory:")
    ),
    "elasticsearch": lambda _, encoder: ElasticsearchConnector.create(
        elasticsearch().address(fresh_index(elasticsearch())), encoder=encoder
    ),
    "memory": lambda folder, encoder: MemoryConnector(encoder=encoder),
}


@pytest.fixture(params=["lexical", "hybrid"])
def encoder(request: pytest.FixtureRequest) -> HashingEncoder | None:
    return HashingEncoder() if request.param == "hybrid" else None


@pytest.fixture(params=MAKERS)
def connector(
    request: pytest.FixtureRequest, tmp_path: Path, encoder: HashingEncoder | None
) -> Iterator[Connector]:
    with MAKERS[request.param](tmp_path / "index", encoder) as made:
        yield made
    delete_indexes()
