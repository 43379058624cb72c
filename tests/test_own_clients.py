"""`connect` on the client, the Embeddings and the vector store that the user has already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch
from langchain_core.embeddings import Embeddings
from qdrant_client import AsyncQdrantClient, QdrantClient

import retrieve_rerank as rr
from retrieve_rerank.errors import IndexNotFoundError, InputError, ModelError
from retrieve_rerank.langchain import RetrieveRerankRetriever
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.collections import langchain
from tests.connectors.qdrant.stub import Stub, serving
from tests.servers import NEWEST, elasticsearch

pytestmark = pytest.mark.usefixtures("home")

ENCODER = HashingEncoder()


class Hashing(Embeddings):
    """LangChain's, as users write them."""

    model = "hashing-32"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = ENCODER.embed_documents(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Failing(Hashing):
    def embed_query(self, text: str) -> list[float]:
        raise RuntimeError("key sk-secret is refused")


@pytest.fixture
def client() -> Iterator[Elasticsearch]:
    """Of the newest server: a client of 9.x, made without our options, is refused by 8.x."""
    with Elasticsearch(elasticsearch(NEWEST).url) as client:
        yield client


async def test_a_client_of_elasticsearch_is_used_and_left_open(client: Elasticsearch) -> None:
    name = f"rr-test-{uuid4().hex[:12]}"
    dense = {"type": "dense_vector", "dims": 32, "similarity": "cosine"}
    fields: Any = {"body": {"type": "text"}, "embedding": dense}
    client.indices.create(index=name, mappings={"properties": fields})
    for id_, text in {"wing": "the lift of a thin wing", "heat": "heat transfer in a pipe"}.items():
        vector = ENCODER.embed_documents([text])[0].tolist()
        client.index(index=name, id=id_, document={"body": text, "embedding": vector})
    client.indices.refresh(index=name)
    try:
        with rr.connect(name, client=client, encoder=Hashing(), candidates=7) as retriever:
            found = retriever.search("lift of a wing")
            assert found.hits[0].document.id == "wing"
            assert set(found.hits[0].sources) == {"dense", "bm25"}
            assert list(await retriever.asearch("lift of a wing")) == list(found)
            schema = retriever.connector.schema()
            assert schema.location.startswith("elasticsearch://")
            assert schema.encoder == "Hashing(hashing-32)"
        assert client.count(index=name)["count"] == 2
        with pytest.raises(IndexNotFoundError, match=f"{name}-nowhere"):
            rr.connect(f"{name}-nowhere", client=client)
    finally:
        client.indices.delete(index=name)


@pytest.fixture(params=["local", "server"])
def qdrant(request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    if request.param == "local":
        yield langchain()
        return
    stub = Stub()
    stub.client = langchain()
    with serving(stub):
        server = stub.url.partition("://")[2].partition("/")[0]
        client = QdrantClient(url=f"http://{server}", check_compatibility=False)
        yield client
        client.close()


async def test_a_client_of_qdrant_is_used_and_left_open(qdrant: QdrantClient) -> None:
    with rr.connect("docs", client=qdrant, encoder=Hashing()) as retriever:
        found = retriever.search("lift of a wing")
        assert found.hits[0].document.text == "the lift of a thin wing"
        assert list(await retriever.asearch("lift of a wing")) == list(found)
    assert qdrant.count("docs").count == 3
    retriever_of_langchain = RetrieveRerankRetriever.from_index(
        "docs", client=qdrant, encoder=Hashing(), k=1
    )
    [document] = retriever_of_langchain.invoke("drag of a body")
    assert document.page_content == "drag polar of a slender body"
    retriever_of_langchain.close()
    assert qdrant.count("docs").count == 3


def test_a_failing_model_is_named_and_its_key_is_not_shown() -> None:
    message = r"Failing\(hashing-32\) gave no vectors: RuntimeError$"
    with pytest.raises(ModelError, match=message):
        rr.connect("docs", client=langchain(), encoder=Failing()).search("wing")


@pytest.mark.parametrize(
    ("index", "given", "message"),
    [
        ("docs", {"client": 3}, "client: expected an Elasticsearch or a QdrantClient; got int"),
        ("docs", {"client": langchain(), "api_key": "x"}, "api_key is the client's own"),
        (None, {"client": langchain()}, "expected the index's name at its server"),
        ("qdrant://h/docs", {"client": langchain()}, "expected the index's name at its server"),
        ("docs", {"encoder": 3}, "encoder: expected the name of a model, an Embedder, or"),
        (3, {}, "expected an index's name, folder or URL, or an ElasticsearchStore"),
    ],
)
def test_what_cannot_be_used_is_a_clear_error(index: Any, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rr.connect(index, **given)


def test_an_async_client_is_refused_with_the_reason() -> None:
    client = AsyncQdrantClient(":memory:")
    with pytest.raises(InputError, match="async searches use it in threads; got AsyncQdrant"):
        rr.connect("docs", client=client)
