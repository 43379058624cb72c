"""Models that give each pair several labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'torch'")

from sentence_transformers import CrossEncoder as Peer
from torch.nn import Identity

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.checkpoints.description import describe
from retrieve_rerank.models.checkpoints.labels import EXPECTATION, Label, choose_label
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from tests.models.tiny import QUERY, TEXTS, make_model

NAMES = ["contradiction", "neutral", "entailment"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_model(tmp_path_factory.mktemp("labels"), "bert", labels=3)
    rename(made, NAMES)
    return made


def rename(folder: Path, names: list[str]) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    config["label2id"] = {name: number for number, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("label", "column"), [(0, 0), (2, 2), ("neutral", 1)])
def test_a_label_chooses_its_logit(folder: Path, label: Label, column: int) -> None:
    peer = Peer(str(folder), device="cpu", activation_fn=Identity())
    expected = peer.predict([(QUERY, text) for text in TEXTS])[:, column]

    found = CrossEncoder(str(folder), device="cpu", label=label).score(QUERY, TEXTS)
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_expectation_is_over_class_probabilities(folder: Path) -> None:
    peer = Peer(str(folder), device="cpu")
    probabilities = peer.predict([(QUERY, text) for text in TEXTS], apply_softmax=True)

    found = CrossEncoder(str(folder), device="cpu", label=EXPECTATION).score(QUERY, TEXTS)
    assert found == pytest.approx((probabilities @ [0, 1, 2]).tolist(), abs=1e-5)


def test_labels_that_are_numbers_count_for_what_they_say() -> None:
    score = choose_label(["1", "2", "5"], EXPECTATION, model="m")

    # Probabilities 1/4, 1/4, 1/2, and certainty.
    logits = np.array([[0.0, 0.0, np.log(2)], [-2000.0, 2000.0, 0.0]], dtype=np.float32)
    assert score(logits) == pytest.approx([0.25 + 0.5 + 2.5, 2.0])


def test_no_label_is_an_error_that_lists_them(folder: Path) -> None:
    listed = r"0 \(contradiction\), 1 \(neutral\), 2 \(entailment\)"
    with pytest.raises(InputError, match=f"gives each pair 3 labels: {listed}; choose one"):
        load_pair_model(str(folder))


@pytest.mark.parametrize("label", [3, -1, True, "Entailment", ""])
def test_an_unknown_label_is_an_error_that_lists_them(folder: Path, label: Label) -> None:
    with pytest.raises(InputError, match=f"has no label {label!r}; it has: 0 .contradiction"):
        load_pair_model(str(folder), label=label)


def test_a_model_of_one_label_needs_none_and_takes_its_own() -> None:
    names = ["LABEL_0"]
    assert choose_label(names, None, model="m").column == 0
    assert choose_label(names, 0, model="m").column == 0
    with pytest.raises(InputError, match="has no label 'expectation'; it has: 0"):
        choose_label(names, EXPECTATION, model="m")


def test_a_models_description_lists_its_labels(folder: Path, tmp_path: Path) -> None:
    assert describe(str(folder), device="cpu").labels == NAMES
    single = make_model(tmp_path, "bert", labels=1)
    assert describe(str(single), device="cpu").labels == ()


def test_each_label_has_a_fingerprint_of_its_own(folder: Path) -> None:
    labels: list[Label] = [0, 1, EXPECTATION]
    found = {CrossEncoder(str(folder), device="cpu", label=label).fingerprint for label in labels}
    assert len(found) == 3
