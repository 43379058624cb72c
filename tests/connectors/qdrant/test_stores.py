"""Collections that the real stores of LangChain, LlamaIndex and Haystack have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank.connectors.qdrant import QdrantConnector
from tests.connectors.qdrant.collections import ENCODER, TEXTS, vector

pytestmark = pytest.mark.filterwarnings("ignore")  # the stores' own


def write_langchain(folder: Path) -> None:
    store = pytest.importorskip("langchain_qdrant", reason="needs langchain-qdrant")
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    class Hashing(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vector(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return vector(text)

    client = QdrantClient(path=str(folder))
    params = models.VectorParams(size=32, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=params)
    documents = [
        Document(page_content=text, metadata={"year": 1950 + i})
        for i, text in enumerate(TEXTS.values())
    ]
    store.QdrantVectorStore(client, "docs", Hashing()).add_documents(documents)
    client.close()


def write_llama_index(folder: Path) -> None:
    store = pytest.importorskip(
        "llama_index.vector_stores.qdrant", reason="needs llama-index-vector-stores-qdrant"
    )
    schema: Any = pytest.importorskip("llama_index.core.schema")
    client = QdrantClient(path=str(folder))
    nodes = [
        schema.TextNode(text=text, embedding=vector(text), metadata={"year": 1950 + i})
        for i, text in enumerate(TEXTS.values())
    ]
    store.QdrantVectorStore("docs", client=client).add(nodes)
    client.close()


def write_haystack(folder: Path) -> None:
    store = pytest.importorskip(
        "haystack_integrations.document_stores.qdrant", reason="needs qdrant-haystack"
    )
    haystack: Any = pytest.importorskip("haystack")
    made = store.QdrantDocumentStore(path=str(folder), index="docs", embedding_dim=32)
    made.write_documents(
        [
            haystack.Document(content=text, meta={"year": 1950 + i}, embedding=vector(text))
            for i, text in enumerate(TEXTS.values())
        ]
    )
    made.close()


@pytest.mark.parametrize(
    ("write", "writer"),
    [
        (write_langchain, "LangChain"),
        (write_llama_index, "LlamaIndex"),
        (write_haystack, "Haystack"),
    ],
)
def test_what_the_store_wrote_is_recognised_and_searched(
    write: Any, writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    write(tmp_path / "q")
    with QdrantConnector.connect(f"qdrant+local://{tmp_path}/q/docs", encoder=ENCODER) as connector:
        assert connector.schema().details["writer"] == writer
        [hit] = connector.search(TEXTS["lift"], top_k=3, filter={"year": 1950})
        assert hit.document.text == TEXTS["lift"]
        assert hit.score == pytest.approx(1.0, abs=1e-5)
        assert connector.get([hit.document.id]) == [hit.document]
