"""Write DOCUMENTS with real stores: python -m tests.stores.write WHERE STORE=INDEX...

WHERE is the URL of an Elasticsearch server, or a folder, below which each store has its own in
the format of the Qdrant client's local mode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from qdrant_client import QdrantClient

from tests.stores.documents import DOCUMENTS, ENCODER, SPARSE_ENCODER

TEXTS = [document.text for document in DOCUMENTS]


class _Embeddings(Embeddings):
    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        rows: list[list[float]] = ENCODER.embed_documents(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def langchain_elasticsearch(where: str, index: str) -> None:
    from langchain_elasticsearch import ElasticsearchStore

    store = ElasticsearchStore(index_name=index, es_url=where, embedding=_Embeddings())
    store.add_texts(TEXTS, _metadata())
    store.close()


def llama_index_elasticsearch(where: str, index: str) -> None:
    from llama_index.vector_stores.elasticsearch import ElasticsearchStore

    store = ElasticsearchStore(index_name=index, es_url=where)
    store.add(_nodes())
    store.close()


def haystack_elasticsearch(where: str, index: str) -> None:
    from haystack_integrations.document_stores.elasticsearch import ElasticsearchDocumentStore

    store = ElasticsearchDocumentStore(hosts=where, index=index)
    store.write_documents(_haystack_documents(sparse=False))


def langchain_qdrant(where: str, index: str) -> None:
    from langchain_qdrant import QdrantVectorStore

    store = QdrantVectorStore.from_texts(
        TEXTS, _Embeddings(), _metadata(), path=where, collection_name=index
    )
    store.client.close()


def langchain_qdrant_hybrid(where: str, index: str) -> None:
    from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings, SparseVector

    class Words(SparseEmbeddings):  # type: ignore[misc]  # has no types where it is absent
        def embed_documents(self, texts: list[str]) -> list[Any]:
            indices, values = _sparse(texts)
            rows = zip(indices, values, strict=True)
            return [SparseVector(indices=i, values=v) for i, v in rows]

        def embed_query(self, text: str) -> Any:
            return self.embed_documents([text])[0]

    store = QdrantVectorStore.from_texts(
        TEXTS,
        _Embeddings(),
        _metadata(),
        sparse_embedding=Words(),
        retrieval_mode=RetrievalMode.HYBRID,
        path=where,
        collection_name=index,
    )
    store.client.close()


def llama_index_qdrant(where: str, index: str, **options: Any) -> None:
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    client = QdrantClient(path=where)
    QdrantVectorStore(collection_name=index, client=client, **options).add(_nodes())
    client.close()


def llama_index_qdrant_hybrid(where: str, index: str) -> None:
    functions = {"sparse_doc_fn": _sparse, "sparse_query_fn": _sparse}
    llama_index_qdrant(where, index, enable_hybrid=True, **functions)


def haystack_qdrant(where: str, index: str, *, sparse: bool = False) -> None:
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    store = QdrantDocumentStore(
        path=where, index=index, embedding_dim=ENCODER.dimension, use_sparse_embeddings=sparse
    )
    store.write_documents(_haystack_documents(sparse=sparse))
    store.close()


def haystack_qdrant_hybrid(where: str, index: str) -> None:
    haystack_qdrant(where, index, sparse=True)


def _metadata() -> list[dict[str, Any]]:
    return [{"title": document.title, "year": document.year} for document in DOCUMENTS]


def _sparse(texts: Sequence[str]) -> tuple[list[list[int]], list[list[float]]]:
    weights = SPARSE_ENCODER.encode_documents(texts)
    return [list(each) for each in weights], [list(each.values()) for each in weights]


def _nodes() -> list[Any]:
    from llama_index.core.schema import TextNode

    return [
        TextNode(
            text=document.text,
            metadata={"file_name": document.title, "year": document.year},
            embedding=_Embeddings().embed_query(document.text),
        )
        for document in DOCUMENTS
    ]


def _haystack_documents(*, sparse: bool) -> list[Any]:
    from haystack import Document
    from haystack.dataclasses import SparseEmbedding

    rows = zip(DOCUMENTS, *_sparse(TEXTS), strict=True)
    return [
        Document(
            content=document.text,
            meta={"title": document.title, "year": document.year},
            embedding=_Embeddings().embed_query(document.text),
            sparse_embedding=SparseEmbedding(indices, values) if sparse else None,
        )
        for document, indices, values in rows
    ]


STORES: Mapping[str, Callable[[str, str], None]] = {
    "langchain-elasticsearch": langchain_elasticsearch,
    "llama-index-elasticsearch": llama_index_elasticsearch,
    "haystack-elasticsearch": haystack_elasticsearch,
    "langchain-qdrant": langchain_qdrant,
    "langchain-qdrant-hybrid": langchain_qdrant_hybrid,
    "llama-index-qdrant": llama_index_qdrant,
    "llama-index-qdrant-hybrid": llama_index_qdrant_hybrid,
    "haystack-qdrant": haystack_qdrant,
    "haystack-qdrant-hybrid": haystack_qdrant_hybrid,
}

if __name__ == "__main__":
    place, *wanted = sys.argv[1:]
    for store, _, index in (each.partition("=") for each in wanted):
        STORES[store](place if "://" in place else f"{place}/{store}", index)
