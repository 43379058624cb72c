"""LangChain's own suites, on every kind of index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from langchain_core.tools import BaseTool, create_retriever_tool
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from qdrant_client import QdrantClient

from retrieve_rerank import Retriever
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.langchain import RetrieveRerankRetriever
from retrieve_rerank.testing import HashingEncoder
from tests.langchain.conftest import PASSAGES
from tests.servers import delete_indexes, elasticsearch, fresh_index

ENCODER = HashingEncoder()


@pytest.fixture(scope="module")
def in_qdrant() -> Iterator[Retriever]:
    """In the client's local mode."""
    client = QdrantClient(":memory:")
    url = "qdrant+local:///:memory:/museum"
    with QdrantConnector.create(url, encoder=ENCODER, client=client) as connector:
        connector.index(PASSAGES)
    with RetrieveRerankRetriever.from_index(
        "museum", client=client, encoder=ENCODER, rerank="max-sim", config=None
    ) as opened:
        yield opened.retriever
    client.close()


@pytest.fixture(scope="module")
def in_elasticsearch() -> Iterator[Retriever]:
    server = elasticsearch()
    name = fresh_index(server)
    with ElasticsearchConnector.create(server.address(name), encoder=ENCODER) as connector:
        connector.index(PASSAGES)
    with (
        Elasticsearch(server.url) as client,
        RetrieveRerankRetriever.from_index(
            name, client=client, encoder=ENCODER, rerank="max-sim", config=None
        ) as opened,
    ):
        yield opened.retriever
    delete_indexes()


class Standard(RetrieversIntegrationTests):
    """What each index is tested for."""

    opened: Retriever

    @property
    def retriever_constructor(self) -> type[RetrieveRerankRetriever]:
        return RetrieveRerankRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.opened}

    @property
    def retriever_query_example(self) -> str:
        return "when is the museum closed"


class TestEmbedded(Standard):
    @pytest.fixture(autouse=True)
    def _open(self, museum: Retriever) -> None:
        self.opened = museum


class TestQdrant(Standard):
    @pytest.fixture(autouse=True)
    def _open(self, in_qdrant: Retriever) -> None:
        self.opened = in_qdrant


class TestElasticsearch(Standard):
    @pytest.fixture(autouse=True)
    def _open(self, in_elasticsearch: Retriever) -> None:
        self.opened = in_elasticsearch


class Tool:
    """As an agent is given it."""

    @pytest.fixture(autouse=True)
    def _open(self, museum: Retriever) -> None:
        self._museum = museum

    @property
    def tool_constructor(self) -> BaseTool:
        searches = RetrieveRerankRetriever(retriever=self._museum, k=2)
        return create_retriever_tool(searches, "museum", "What visitors of the museum ask.")

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "when is the museum closed"}


class TestToolAlone(Tool, ToolsUnitTests):
    pass


class TestToolAtWork(Tool, ToolsIntegrationTests):
    pass
