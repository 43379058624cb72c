"""Beside the frameworks' own stores in Qdrant and Elasticsearch, which wrote what is searched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("haystack_integrations.document_stores.qdrant", reason="needs the stores")
pytest.importorskip("llama_index.vector_stores.qdrant", reason="needs the stores")

from haystack import Pipeline
from haystack_integrations.components.retrievers.elasticsearch import (
    ElasticsearchEmbeddingRetriever,
)
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.elasticsearch import ElasticsearchDocumentStore
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.vector_stores.elasticsearch import ElasticsearchStore
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from retrieve_rerank import haystack as for_haystack
from retrieve_rerank import llama_index as for_llama_index
from retrieve_rerank.base import Range
from retrieve_rerank.testing import OverlapScorer
from tests.servers import delete_indexes, elasticsearch, fresh_index
from tests.stores.documents import DOCUMENTS, ENCODER, QUERY
from tests.stores.write import STORES

pytestmark = pytest.mark.filterwarnings("default")  # what the stores are warned of is theirs

VECTOR = ENCODER.embed_queries([QUERY])[0].tolist()
RECENT = {"year": Range(gte=2022, lt=2024)}
BEST = (DOCUMENTS[1].text, DOCUMENTS[1].year)


class Place(NamedTuple):
    """Where a store writes an index, and how ours finds it."""

    server: str
    where: str
    name: str
    address: str


@pytest.fixture(params=["qdrant", "elasticsearch"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "qdrant":
        yield Place("qdrant", str(tmp_path), "docs", f"qdrant+local://{tmp_path}/docs")
        return
    running = elasticsearch()
    index = fresh_index(running)
    yield Place("elasticsearch", running.url, index, running.address(index))
    delete_indexes()


class Vectors(BaseEmbedding):
    """The vector of the one query."""

    def _get_text_embedding(self, text: str) -> list[float]:
        raise NotImplementedError

    def _get_query_embedding(self, query: str) -> list[float]:
        return list(VECTOR)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return list(VECTOR)


def test_llama_indexs_store(place: Place) -> None:
    STORES[f"llama-index-{place.server}"](place.where, place.name)
    client = QdrantClient(path=place.where) if place.server == "qdrant" else None
    store: Any = (
        ElasticsearchStore(index_name=place.name, es_url=place.where)
        if client is None
        else QdrantVectorStore(collection_name=place.name, client=client)
    )
    index = VectorStoreIndex.from_vector_store(store, embed_model=Vectors())
    theirs = index.as_retriever(similarity_top_k=3).retrieve(QUERY)
    (client or store).close()
    reranking = for_llama_index.RerankNodePostprocessor(reranker=OverlapScorer(), top_n=1)
    [best] = reranking.postprocess_nodes(theirs, query_str=QUERY)
    with for_llama_index.RetrieveRerankRetriever.from_index(
        place.address, encoder=ENCODER, rerank="none", config=None
    ) as retriever:
        ours = retriever.retrieve(QUERY)
        recent = retriever.retrieve(for_llama_index.SearchQuery(QUERY, filter=RECENT))
    assert {each.node.node_id for each in ours} == {each.node.node_id for each in theirs}
    assert [each.node.node_id for each in recent] == [ours[0].node.node_id] == [best.node.node_id]
    for each in (best, ours[0]):
        assert (each.text, each.metadata["year"]) == BEST


def test_haystacks_store(place: Place) -> None:
    STORES[f"haystack-{place.server}"](place.where, place.name)
    store: Any
    if place.server == "qdrant":
        store = QdrantDocumentStore(
            path=place.where, index=place.name, embedding_dim=ENCODER.dimension
        )
        search: Any = QdrantEmbeddingRetriever(store)
    else:
        store = ElasticsearchDocumentStore(hosts=place.where, index=place.name)
        search = ElasticsearchEmbeddingRetriever(document_store=store)
    pipeline = Pipeline()
    pipeline.add_component("search", search)
    ranker = for_haystack.RetrieveRerankRanker(reranker=OverlapScorer(), top_k=1)
    pipeline.add_component("rank", ranker)
    pipeline.connect("search.documents", "rank.documents")
    given = {"search": {"query_embedding": VECTOR}, "rank": {"query": QUERY}}
    answer = pipeline.run(given, include_outputs_from={"search"})
    theirs, [best] = answer["search"]["documents"], answer["rank"]["documents"]
    store.close()
    retriever = for_haystack.RetrieveRerankRetriever(
        place.address, encoder=ENCODER, rerank="none", config=None
    )
    ours = retriever.run(QUERY)["documents"]
    recent = retriever.run(QUERY, filters=RECENT)["documents"]
    retriever.close()
    assert {each.id for each in ours} == {each.id for each in theirs}
    assert [each.id for each in recent] == [ours[0].id] == [best.id]
    for each in (best, ours[0]):
        assert (each.content, each.meta["year"]) == BEST
