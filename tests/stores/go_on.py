"""Search and add to what a store wrote before: python -m tests.stores.go_on FOLDER STORE=INDEX."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.stores.documents import ENCODER, QUERY
from tests.stores.write import _Embeddings

NEW = "Ferries to the islands carry parcels on weekdays."


def langchain(where: str, index: str) -> list[list[str]]:
    """Return what the store finds before and after it has added a text."""
    from langchain_qdrant import QdrantVectorStore

    store = QdrantVectorStore.from_existing_collection(
        embedding=_Embeddings(), path=where, collection_name=index
    )
    before = [each.page_content for each in store.similarity_search(QUERY, k=9)]
    store.add_texts([NEW])
    after = [each.page_content for each in store.similarity_search(QUERY, k=9)]
    store.client.close()
    return [before, after]


def haystack(where: str, index: str) -> list[list[str]]:
    """Do the same with Haystack's store."""
    from haystack import Document
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    store = QdrantDocumentStore(path=where, index=index, embedding_dim=ENCODER.dimension)

    def found() -> list[str]:
        documents: list[Any] = store.filter_documents()
        return [str(each.content) for each in documents]

    before = found()
    store.write_documents([Document(content=NEW, embedding=_Embeddings().embed_query(NEW))])
    after = found()
    store.close()
    return [before, after]


if __name__ == "__main__":
    place, wanted = sys.argv[1:]
    store, _, name = wanted.partition("=")
    goes_on = {"langchain-qdrant": langchain, "haystack-qdrant": haystack}[store]
    sys.stdout.write(json.dumps(goes_on(f"{place}/{store}", name)))
