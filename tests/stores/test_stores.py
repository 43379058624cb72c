"""What LangChain, LlamaIndex and Haystack wrote is recognised, and searched as it is."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from retrieve_rerank.base import Connector, Range
from retrieve_rerank.connectors.elasticsearch.connector import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from tests.servers import NEWEST, elasticsearch, fresh_index
from tests.stores.documents import DOCUMENTS, ENCODER, QUERY, SPARSE_ENCODER
from tests.stores.environment import run

pytestmark = pytest.mark.slow


class Expected(NamedTuple):
    """What should be found out of a store's index."""

    writer: str
    text: str
    title: str
    vector: str
    rankings: tuple[str, ...]


IN_ELASTICSEARCH = {
    "langchain-elasticsearch": Expected(
        "LangChain", "text", "metadata.title", "vector", ("dense", "bm25")
    ),
    "llama-index-elasticsearch": Expected(
        "LlamaIndex", "content", "metadata.file_name", "embedding", ("dense", "bm25")
    ),
    "haystack-elasticsearch": Expected(
        "Haystack", "content", "title", "embedding", ("dense", "bm25")
    ),
}
IN_QDRANT = {
    "langchain-qdrant": Expected("LangChain", "page_content", "metadata.title", "", ("dense",)),
    "langchain-qdrant-hybrid": Expected(
        "LangChain", "page_content", "metadata.title", "", ("dense", "sparse")
    ),
    "llama-index-qdrant": Expected("LlamaIndex", "_node_content", "file_name", "", ("dense",)),
    "llama-index-qdrant-hybrid": Expected(
        "LlamaIndex", "_node_content", "file_name", "text-dense", ("dense", "sparse")
    ),
    "haystack-qdrant": Expected("Haystack", "content", "meta.title", "", ("dense",)),
    "haystack-qdrant-hybrid": Expected(
        "Haystack", "content", "meta.title", "text-dense", ("dense", "sparse")
    ),
}


@pytest.fixture(scope="module")
def in_elasticsearch() -> dict[str, str]:
    """Store -> address of the index that it wrote."""
    server = elasticsearch(NEWEST)
    names = {store: fresh_index(server) for store in IN_ELASTICSEARCH}
    run("tests.stores.write", server.url, *map("=".join, names.items()))
    return {store: server.address(name) for store, name in names.items()}


@pytest.fixture(scope="module")
def in_qdrant(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Store -> address of the collection that it wrote."""
    folder = tmp_path_factory.mktemp("stores")
    run("tests.stores.write", str(folder), *(f"{store}=docs" for store in IN_QDRANT))
    return {store: f"qdrant+local://{folder}/{store}/docs" for store in IN_QDRANT}


@pytest.mark.parametrize("store", IN_ELASTICSEARCH)
def test_an_elasticsearch_store_is_recognised_and_searched(
    in_elasticsearch: dict[str, str], store: str
) -> None:
    with ElasticsearchConnector.connect(in_elasticsearch[store], encoder=ENCODER) as connector:
        check(connector, IN_ELASTICSEARCH[store])


@pytest.mark.parametrize("store", IN_QDRANT)
def test_a_qdrant_store_is_recognised_and_searched(in_qdrant: dict[str, str], store: str) -> None:
    expected = IN_QDRANT[store]
    with QdrantConnector.connect(
        in_qdrant[store],
        encoder=ENCODER,
        sparse_encoder=SPARSE_ENCODER if "sparse" in expected.rankings else None,
    ) as connector:
        check(connector, expected)


def check(connector: Connector, expected: Expected) -> None:
    schema = connector.schema()
    details = schema.details
    used = [each["name"] for each in details["vector_fields"] if each["used"]]

    assert details["writer"] == expected.writer
    assert details["text_field"] == expected.text
    assert details["title_field"] == expected.title
    assert used == [expected.vector]
    assert tuple(schema.rankings) == expected.rankings
    assert schema.fields["year"] == "integer"
    assert schema.documents == connector.count() == len(DOCUMENTS)

    best = connector.search(QUERY, top_k=3)[0]
    assert best.document.text == DOCUMENTS[1].text
    assert best.document.metadata["title"] == "Islands"
    assert best.document.metadata["year"] == 2023
    assert set(best.sources) == set(expected.rankings)
    (query,) = ENCODER.embed_queries([QUERY])
    (text,) = ENCODER.embed_documents([DOCUMENTS[1].text])
    # Elasticsearch 8.19 rounds the vectors to int8, and its scores with them.
    assert best.sources["dense"].score == pytest.approx(float(query @ text), abs=0.03)

    filtered = connector.search(QUERY, top_k=3, filter={"year": Range(gte=2022, lt=2024)})
    assert [hit.document for hit in filtered] == [best.document]
    assert connector.get([best.document.id]) == [best.document]
    assert {d.text for d in connector.scan()} == {d.text for d in DOCUMENTS}


def test_langchains_stores_can_be_given_to_connect_as_they_are() -> None:
    server = elasticsearch()
    found = json.loads(run("tests.stores.use_store", server.url, fresh_index(server)))
    best = "Parcels to islands are carried by ferry and take up to nine days."
    in_elasticsearch, in_qdrant = ["dense", "bm25"], ["dense"]
    assert [[text, rankings] for text, _, rankings in found] == [
        *[[best, in_elasticsearch]] * 2,
        *[[best, in_qdrant]] * 2,
    ]
