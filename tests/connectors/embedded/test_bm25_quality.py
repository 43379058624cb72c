"""BM25 on real collections, against the figures of another BM25 that stand beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieve_rerank import Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.evaluation.files import read_folder


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("policyqa", "english"),
        ("cranfield", "english"),
        ("wikiqa", "english"),
        ("cmrc2018", "chinese"),
    ],
)
def test_bm25_is_at_most_two_hundredths_below_another(
    shared_data: Path, tmp_path: Path, name: str, language: str
) -> None:
    queries, qrels = read_folder(shared_data / name, split="test")
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index(Corpus([str(shared_data / name)]))
        [stage] = evaluate(
            Retriever(connector), queries, qrels, measures=["nDCG@10"], top_k=10
        ).stages
        assert connector.schema().language == language
    elsewhere = json.loads((shared_data / name / "bm25.json").read_text())
    best = max(figures["ndcg10"] for figures in elsewhere.values() if isinstance(figures, dict))
    assert stage.means["nDCG@10"] >= best - 0.02
