"""Collections as others leave them, in memory; recorded from the stores' own points."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import QdrantClient, models

from retrieve_rerank.connectors.qdrant.layout import HAYSTACK_NAMESPACE
from retrieve_rerank.testing import HashingEncoder

TEXTS = {
    "lift": "the lift of a thin wing",
    "drag": "drag polar of a slender body",
    "heat": "heat transfer in a long pipe",
}
ENCODER = HashingEncoder()
DENSE = models.VectorParams(size=32, distance=models.Distance.COSINE)
IDF = models.SparseVectorParams(modifier=models.Modifier.IDF)
IDS = [str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in TEXTS]


def vector(text: str) -> list[float]:
    row: list[float] = ENCODER.embed_documents([text])[0].tolist()
    return row


def qdrant_bm25(text: str) -> models.SparseVector:
    made = edge.Bm25().embed_document(text)
    return models.SparseVector(indices=made.indices, values=made.values)


def collection(
    payloads: Sequence[Mapping[str, Any]],
    vectors: Sequence[Any],
    *,
    ids: Sequence[str | int] = IDS,
    dense: models.VectorParams | dict[str, models.VectorParams] | None = DENSE,
    sparse: dict[str, models.SparseVectorParams] | None = None,
) -> QdrantClient:
    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config=dense or {}, sparse_vectors_config=sparse)
    points = [
        models.PointStruct(id=id_, vector=each, payload=dict(payload))
        for id_, each, payload in zip(ids, vectors, payloads, strict=True)
    ]
    if points:
        client.upsert("docs", points)
    return client


def langchain(*, hybrid: bool = False) -> QdrantClient:
    payloads = [
        {"page_content": text, "metadata": {"year": 1950 + i, "source": f"{name}.pdf"}}
        for i, (name, text) in enumerate(TEXTS.items())
    ]
    if not hybrid:
        return collection(payloads, [vector(text) for text in TEXTS.values()])
    vectors = [{"": vector(t), "langchain-sparse": qdrant_bm25(t)} for t in TEXTS.values()]
    return collection(payloads, vectors, dense={"": DENSE}, sparse={"langchain-sparse": IDF})


def llama_index() -> QdrantClient:
    payloads = [
        {
            "year": 1950 + i,
            "file_name": f"{name}.txt",
            "_node_content": json.dumps(
                {"id_": IDS[i], "metadata": {"year": 1950 + i}, "text": text, "class_name": "T"}
            ),
            "_node_type": "TextNode",
            **{"document_id": "None", "doc_id": "None", "ref_doc_id": "None"},
        }
        for i, (name, text) in enumerate(TEXTS.items())
    ]
    vectors = [{"text-dense": vector(text)} for text in TEXTS.values()]
    return collection(payloads, vectors, dense={"text-dense": DENSE})


def haystack() -> QdrantClient:
    payloads = [
        {
            **{"id": name, "content": text, "blob": None, "score": None, "sparse_embedding": None},
            "meta": {"year": 1950 + i, "title": f"On {name}"},
        }
        for i, (name, text) in enumerate(TEXTS.items())
    ]
    ids = [uuid.uuid5(HAYSTACK_NAMESPACE, name).hex for name in TEXTS]
    return collection(payloads, [vector(text) for text in TEXTS.values()], ids=ids)


def fastembed() -> QdrantClient:
    payloads = [{"document": text, "year": 1950 + i} for i, text in enumerate(TEXTS.values())]
    vectors = [
        {"fast-bge-small-en": vector(t), "fast-sparse-bm25": qdrant_bm25(t)} for t in TEXTS.values()
    ]
    return collection(
        payloads, vectors, dense={"fast-bge-small-en": DENSE}, sparse={"fast-sparse-bm25": IDF}
    )


def by_hand() -> QdrantClient:
    payloads = [
        {
            "title": name.title(),
            "body": f"{text}. " * 20,
            "year": 1950 + i,
            "author": {"name": "Ada"},
        }
        for i, (name, text) in enumerate(TEXTS.items())
    ]
    return collection(payloads, [vector(text) for text in TEXTS.values()], ids=[1, 2, 3])
