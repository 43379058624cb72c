"""What is added to a trained model's folder, and that it is what then scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.loading import find_checkpoint, load_pair_model
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.tuning import find_candidates
from tests.full_disk import full_from

tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")
pytest.importorskip("nncf", reason="needs the extra 'export'")

from retrieve_rerank.training.finishing import finish  # noqa: E402

DOCUMENTS = [Document(f"d{n}", f"wing {n} lift {n % 7} drag {n % 5} of tails") for n in range(24)]
QUERIES = {f"q{n}": f"wing lift {n % 7} drag {n % 5}" for n in range(12)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder: Path = tiny.make_model(tmp_path / "trained", "bert", labels=1)
    (folder / "retrieve_rerank.json").write_text('{"template": "{text}"}')
    return folder


def groups() -> list[Group]:
    texts = [document.text for document in DOCUMENTS]
    return [Group(query, tuple(map(GroupText, texts[:8]))) for query in QUERIES.values()]


def test_the_fast_form_and_the_calibration_are_what_then_scores(model: Path) -> None:
    pair = [("wing lift 3", "wing 3 lift 3 drag 3 of tails")]
    before = load_pair_model(str(model)).score(pair).scores
    scorer = load_pair_model(str(model))
    qrels = {}  # the better half by the model's own scores, so that they rise with relevance
    for query, text in QUERIES.items():
        scores = scorer.score([(text, document.text) for document in DOCUMENTS]).scores
        qrels[query] = {DOCUMENTS[i].id: 1 for i in np.argsort(-scores)[:10]}
    candidates = find_candidates(Retriever(MemoryConnector(DOCUMENTS)), QUERIES, qrels)

    finished = finish(model, groups=groups(), calibration=candidates, precisions=("fp32",))

    assert finished.notes == []
    assert finished.export is not None and finished.calibration is not None
    assert finished.export.fidelity.top_10_overlap == 1
    checkpoint = find_checkpoint(str(model), device="cpu")
    assert (checkpoint.network.form, checkpoint.precision) == ("openvino", "fp32")
    after = load_pair_model(str(model))
    assert after.score(pair).scores == pytest.approx(before, abs=1e-4)
    assert after.folder.calibration == finished.calibration.calibration
    assert after.template.pattern == "{text}"
    assert (model / "model.safetensors").is_file()
    assert {each.name for each in model.parent.iterdir()} == {model.name}


def test_what_cannot_be_done_is_left_out_and_said(model: Path) -> None:
    qrels = {query: {"d1": 1} for query in list(QUERIES)[:2]}
    candidates = find_candidates(Retriever(MemoryConnector(DOCUMENTS)), QUERIES, qrels)

    finished = finish(model, groups=groups()[:1], calibration=candidates)

    assert (finished.export, finished.calibration) == (None, None)
    assert "no fast form" in finished.notes[0] and "expected at least 2" in finished.notes[0]
    assert "no calibration" in finished.notes[1]
    assert "export" not in json.loads((model / "retrieve_rerank.json").read_text())
    assert find_checkpoint(str(model), device="cpu").network.form == "safetensors"


def test_a_full_disk_keeps_what_was_trained_and_says_what_is_free(model: Path) -> None:
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    with (
        full_from(50_000),  # the network's files are larger, all others smaller
        pytest.raises(
            InputError, match=r"cannot write the fast form of .*MiB are free there.*kept"
        ),
    ):
        finish(model, groups=groups(), calibration=None, precisions=("fp32",))
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
    assert {each.name for each in model.parent.iterdir()} == {model.name}
