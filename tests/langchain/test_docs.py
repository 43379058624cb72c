"""Every block of code of the page on LangChain runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Document, connect
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.models.loading import load_encoder
from tests.test_own_clients import Hashing

tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "langchain.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
DOCUMENTS = [
    Document("week", "Refunds are paid in a week.", {"year": 2024, "audience": "all"}),
    Document("bill", "Companies get refunds on their bill.", {"year": 2023}),
]


def test_every_block_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RR_DATA_DIR", str(home / "data"))
    with EmbeddedConnector.create(home / "data/indexes/docs", encoder=load_encoder()) as index:
        index.index(DOCUMENTS)
    versions = ModelVersions(home / "data", "docs-reranker")
    versions.promote(versions.add(tiny.make_model(home / "made", "bert", labels=1)))
    names: dict[str, Any] = {"embeddings": Hashing()}
    fill(home / "qdrant", names["embeddings"])

    assert len(BLOCKS) == 10
    for block in BLOCKS:
        if "from_index(store" in block:  # run where LangChain's stores are: tests/stores
            continue
        exec(block, names)

    shown = capsys.readouterr().out.split("\n")
    assert {"1 Refunds are paid in a week.", "2 Companies get refunds on their bill."} <= {*shown}
    assert [d.id for d in names["found"].invoke("refunds", k=1)]
    assert len(names["both"].invoke("refunds")) == 2
    assert [d.id for d in names["searches"].invoke("refunds", k=1)] == ["week"]
    names["found"].close()
    names["client"].close()
    names["retriever"].close()
    with connect("docs") as again:  # closed by now
        assert again.connector.count() == 2


def fill(folder: Path, embeddings: Hashing) -> None:
    """Make a collection as LangChain's store does."""
    client = QdrantClient(path=str(folder))
    size = len(embeddings.embed_query("a"))
    config = models.VectorParams(size=size, distance=models.Distance.COSINE)
    client.create_collection("articles", vectors_config=config)
    points = [
        models.PointStruct(
            id=number,
            vector=embeddings.embed_query(each.text),
            payload={"page_content": each.text, "metadata": dict(each.metadata)},
        )
        for number, each in enumerate(DOCUMENTS)
    ]
    client.upsert("articles", points)
    client.close()
