"""Connect to vector stores of LangChain as objects: python -m tests.stores.use_store URL INDEX.

Two in an Elasticsearch server, as INDEX and INDEX-own, and two in memory by Qdrant's client; one
of each has fields of its own. Writes the best document of each, and its title, as JSON.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from langchain_elasticsearch import ElasticsearchStore
from langchain_qdrant import QdrantVectorStore

import retrieve_rerank as rr
from retrieve_rerank.langchain import RetrieveRerankRetriever
from tests.stores.documents import QUERY
from tests.stores.write import TEXTS, _Embeddings, _metadata

PAGE = Path(__file__).resolve().parents[2] / "docs" / "langchain.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
[BLOCK] = [each for each in BLOCKS if "from_index(store" in each]
OWN_IN_ELASTICSEARCH = {"query_field": "passage", "vector_query_field": "embedding"}
OWN_IN_QDRANT = {"content_payload_key": "passage", "vector_name": "embedding"}


def use(url: str, index: str) -> list[Any]:
    """Fill the stores, search them by `connect`, and see that they are still open."""
    stores: list[Any] = [
        ElasticsearchStore(index_name=name, es_url=url, embedding=_Embeddings(), **own)
        for name, own in ((index, {}), (f"{index}-own", OWN_IN_ELASTICSEARCH))
    ]
    for store in stores:
        store.add_texts(TEXTS, _metadata())
    for own in ({}, OWN_IN_QDRANT):
        stores.append(
            QdrantVectorStore.from_texts(
                TEXTS, _Embeddings(), _metadata(), location=":memory:", collection_name="d", **own
            )
        )
    found = []
    for store in stores:
        with rr.connect(store, config=None) as retriever:
            best = retriever.search(QUERY).hits[0].document
            rankings = list(retriever.connector.schema().rankings)
        names: dict[str, Any] = {"store": store, "RetrieveRerankRetriever": RetrieveRerankRetriever}
        exec(BLOCK, names)
        with names["found"] as retriever_of_langchain:
            [first] = retriever_of_langchain.invoke(QUERY, k=1)
        assert (first.page_content, first.metadata["first_stage_rank"]) == (best.text, 1)
        assert store.similarity_search(QUERY), "closed with the retriever"
        found.append([best.text, best.title, rankings])
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(use(*sys.argv[1:])))
