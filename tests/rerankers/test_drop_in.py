"""Code written for sentence-transformers or FlagEmbedding gets from us what it got from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'torch'")

import torch
from sentence_transformers import CrossEncoder as Peer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from retrieve_rerank.errors import InputError
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.drop_in import sigmoid
from tests.models.tiny import FAMILIES, QUERY, TEXTS, make_model
from tests.overlap import OverlapScorer

OTHER = "short mats"
PAIRS = [(QUERY, TEXTS[0]), (OTHER, TEXTS[2]), (QUERY, TEXTS[3]), (OTHER, TEXTS[4])]


@pytest.fixture(scope="module", params=FAMILIES)
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Peer, CrossEncoder]:
    """Their model and ours, from the same folder."""
    folder = make_model(tmp_path_factory.mktemp("drop-in"), request.param, labels=1)
    return Peer(str(folder), device="cpu"), CrossEncoder(str(folder), device="cpu")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    folder = make_model(tmp_path_factory.mktemp("bert"), "bert", labels=1)
    return CrossEncoder(str(folder), device="cpu")


def test_predict_gives_what_sentence_transformers_gives(
    models: tuple[Peer, CrossEncoder],
) -> None:
    peer, ours = models
    raw = peer.predict(PAIRS, activation_fn=torch.nn.Identity())
    squeezed = peer.predict(PAIRS, activation_fn=torch.nn.Sigmoid())

    found = ours.predict(PAIRS, batch_size=2, show_progress_bar=False)
    assert found == pytest.approx(raw, abs=1e-5)
    assert found.dtype == np.float32
    assert ours.score_pairs(PAIRS) == pytest.approx(raw.tolist(), abs=1e-5)
    for activation in (torch.nn.Sigmoid(), sigmoid):
        found = ours.predict(PAIRS, activation_fn=activation)
        assert found == pytest.approx(squeezed, abs=1e-5)


@pytest.mark.parametrize("activation", [torch.nn.Identity(), torch.nn.Sigmoid()])
@pytest.mark.parametrize(("top_k", "return_documents"), [(None, True), (2, False), (0, True)])
def test_rank_gives_what_sentence_transformers_gives(
    models: tuple[Peer, CrossEncoder],
    activation: Any,
    top_k: int | None,
    return_documents: bool,
) -> None:
    expected, found = (
        model.rank(QUERY, TEXTS, top_k, return_documents, activation_fn=activation)
        for model in models
    )

    assert [row.keys() for row in found] == [row.keys() for row in expected]
    assert [row["corpus_id"] for row in found] == [row["corpus_id"] for row in expected]
    assert [row.get("text") for row in found] == [row.get("text") for row in expected]
    assert [row["score"] for row in found] == pytest.approx(
        [row["score"] for row in expected], abs=1e-5
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_compute_score_gives_the_logit_or_its_sigmoid(tmp_path: Path, normalize: bool) -> None:
    """As FlagEmbedding documents it for bge-reranker-v2-m3, an XLM-RoBERTa."""
    folder = make_model(tmp_path, "xlm-roberta", labels=1)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    expected = []
    with torch.no_grad():
        for query, text in PAIRS:
            inputs = tokenizer([query], [text], truncation=True, return_tensors="pt")
            logit = model(**inputs).logits[0, 0]
            expected.append(float(torch.sigmoid(logit) if normalize else logit))
    ours = CrossEncoder(str(folder), device="cpu")

    found = ours.compute_score(PAIRS, normalize=normalize)
    assert found == pytest.approx(expected, abs=1e-5)
    assert ours.compute_score(PAIRS[0], normalize=normalize) == pytest.approx(found[:1], abs=1e-5)


def test_two_pairs_are_not_taken_for_one(ours: CrossEncoder) -> None:
    assert ours.compute_score(PAIRS[:2]) == pytest.approx(ours.score_pairs(PAIRS[:2]), abs=1e-6)


def test_nothing_to_score_gives_nothing(ours: CrossEncoder) -> None:
    assert ours.rank(QUERY, []) == []
    assert ours.predict([]).shape == (0,)
    assert ours.compute_score([]) == []
    assert ours.score_pairs([]) == []


@pytest.mark.parametrize("inputs", [[QUERY, "text"], [(QUERY,)], [(QUERY, "a", "b")]])
def test_what_is_no_pair_is_an_error(ours: CrossEncoder, inputs: Any) -> None:
    with pytest.raises(InputError, match=r"expected pairs of \(query, text\); got"):
        ours.predict(inputs)


def test_pairs_of_any_scorer_are_scored_query_by_query() -> None:
    pairs = [("a b", "a"), ("c", "c d"), ("a b", "b a"), ("c", "x")]

    found = OverlapScorer().score_pairs(pairs)
    assert found == [OverlapScorer().score(query, [text])[0] for query, text in pairs]
    assert len(set(found)) > 1


def test_a_sigmoid_of_large_scores_does_not_overflow() -> None:
    found = sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4], dtype=np.float32))

    assert found == pytest.approx([0.0, 0.26894143, 0.5, 0.73105858, 1.0])
