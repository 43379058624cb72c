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
from retrieve_rerank.rerankers.drop_in import DropIn, sigmoid
from retrieve_rerank.testing import OverlapScorer
from tests.models.tiny import FAMILIES, QUERY, TEXTS, make_model

OTHER = "short mats"
PAIRS = [(QUERY, TEXTS[0]), (OTHER, TEXTS[2]), (QUERY, TEXTS[3]), (OTHER, TEXTS[4])]


class OverlapPairs(DropIn, OverlapScorer):
    """A scorer of another kind, with their methods."""


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


@pytest.mark.parametrize("inputs", [[(QUERY,)], [(QUERY, "a", "b")], [None], 3, "text"])
def test_what_is_no_pair_is_an_error(ours: CrossEncoder, inputs: Any) -> None:
    for method in (ours.predict, ours.score_pairs, ours.compute_score, OverlapPairs().predict):
        with pytest.raises(InputError, match=r"expected pairs of \(query, text\); got"):
            method(inputs)
    with pytest.raises(InputError, match=r"expected pairs of \(query, text\); got"):
        ours.score_pairs([QUERY, "text"])  # type: ignore[list-item]  # which predict takes as one


@pytest.mark.parametrize("text", [None, 7, b"text"])
def test_what_is_no_text_is_an_error(ours: CrossEncoder, text: Any) -> None:
    for asked in (
        lambda: ours.score(QUERY, ["a", text]),
        lambda: ours.score(text, ["a"]),
        lambda: ours.predict([(QUERY, text)]),
        lambda: ours.rank(QUERY, [text]),
    ):
        with pytest.raises(InputError, match="expected a text; got"):
            asked()


def test_any_iterable_of_pairs_is_read_once(ours: CrossEncoder) -> None:
    expected = ours.predict(PAIRS)
    assert len(expected) == len(PAIRS)
    for inputs in (iter(PAIRS), (pair for pair in PAIRS), np.array(PAIRS), tuple(PAIRS)):
        assert ours.predict(inputs) == pytest.approx(expected, abs=1e-6)
    assert ours.compute_score(iter(PAIRS)) == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("pair", [PAIRS[0], list(PAIRS[0]), np.array(PAIRS[0])])
def test_one_pair_gives_one_number_as_with_sentence_transformers(
    models: tuple[Peer, CrossEncoder], pair: Any
) -> None:
    peer, ours = models
    expected = peer.predict(pair, activation_fn=torch.nn.Identity())

    found = ours.predict(pair)
    assert found.shape == expected.shape == ()
    assert float(found) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("to_numpy", [True, False])
@pytest.mark.parametrize("to_tensor", [True, False])
@pytest.mark.parametrize("inputs", [PAIRS, []])
def test_scores_come_in_the_form_that_sentence_transformers_gives(
    models: tuple[Peer, CrossEncoder], to_numpy: bool, to_tensor: bool, inputs: Any
) -> None:
    options: Any = {
        "activation_fn": torch.nn.Identity(),
        "apply_softmax": True,
        "convert_to_numpy": to_numpy,
        "convert_to_tensor": to_tensor,
    }
    expected: Any = models[0].predict(inputs, **options)
    found = models[1].predict(inputs, num_workers=0, **options)

    assert type(found) is type(expected)
    assert [type(each) for each in found] == [type(each) for each in expected]
    assert [float(each) for each in found] == pytest.approx(
        [float(each) for each in expected], abs=1e-5
    )


def test_a_softmax_over_several_labels_is_refused(tmp_path: Path) -> None:
    ours = CrossEncoder(make_model(tmp_path, "bert", labels=3), label=1, device="cpu")
    assert ours.num_labels == 3
    with pytest.raises(InputError, match="apply_softmax is over all 3 labels"):
        ours.predict(PAIRS, apply_softmax=True)


def test_max_length_shortens_what_is_read_as_with_sentence_transformers(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "bert", labels=1)
    peer = Peer(str(folder), device="cpu", max_length=12, num_labels=1)
    ours = CrossEncoder(folder, device="cpu", max_length=12, num_labels=1)
    whole = CrossEncoder(folder, device="cpu")

    expected = peer.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert ours.predict(PAIRS) == pytest.approx(expected, abs=1e-5)
    assert ours.predict(PAIRS) != pytest.approx(whole.predict(PAIRS), abs=1e-5)
    assert ours.fingerprint != whole.fingerprint
    for length in (0, 10_000):
        with pytest.raises(InputError, match=f"can read 8 to 64 tokens of a pair; got {length}"):
            CrossEncoder(folder, max_length=length)
    with pytest.raises(InputError, match="num_labels=2 would need a head"):
        CrossEncoder(folder, num_labels=2)


def test_pairs_of_any_scorer_are_scored_query_by_query() -> None:
    pairs = [("a b", "a"), ("c", "c d"), ("a b", "b a"), ("c", "x")]

    found = OverlapScorer().score_pairs(pairs)
    assert found == [OverlapScorer().score(query, [text])[0] for query, text in pairs]
    assert len(set(found)) > 1


def test_a_sigmoid_of_large_scores_does_not_overflow() -> None:
    found = sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4], dtype=np.float32))

    assert found == pytest.approx([0.0, 0.26894143, 0.5, 0.73105858, 1.0])
