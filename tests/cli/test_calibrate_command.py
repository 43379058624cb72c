"""`rr calibrate`, and what searches say once a model is calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'torch'")

from retrieve_rerank.errors import InputError, ModelError
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from tests.cli.conftest import Rr
from tests.models.tiny import make_model

TOPICS = ("wing", "heat", "shock", "layer", "panel", "cone")
DOCUMENTS = [
    f"{topic} number {n} of {' '.join(TOPICS[: n % 5 + 1])} in flow"
    for topic in TOPICS
    for n in range(8)
]


@pytest.fixture
def model(home: Path) -> Path:
    return make_model(home / "model", "bert", labels=1)


@pytest.fixture
def judged(rr: Rr, home: Path, model: Path) -> Path:
    """An index `docs`, and judgments that the model's scores fit to, with a few exceptions."""
    lines = [json.dumps({"_id": str(n), "text": text}) for n, text in enumerate(DOCUMENTS)]
    (home / "corpus.jsonl").write_text("\n".join(lines))
    made = rr("index", "corpus.jsonl", "--index", "docs", "--encoder", "none")
    assert made.exit_code == 0, made.output
    folder = home / "data"
    (folder / "qrels").mkdir(parents=True)
    queries = [json.dumps({"_id": topic, "text": f"{topic} flow"}) for topic in TOPICS]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    qrels = ["query-id\tcorpus-id\tscore"]
    scorer = CrossEncoder(str(model))
    for topic in TOPICS:
        scores = scorer.score(f"{topic} flow", DOCUMENTS)
        best = sorted(range(len(scores)), key=lambda n: -scores[n])
        relevant = {*best[:12], *best[20:22]}
        qrels += [f"{topic}\t{n}\t{int(n in relevant)}" for n in range(len(DOCUMENTS))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(qrels))
    return folder


def test_a_calibration_is_kept_with_the_model_and_searches_tell_probabilities(
    rr: Rr, judged: Path, model: Path
) -> None:
    search = ("search", "wing flow", "--index", "docs", "--model", str(model), "--json")
    assert "probability" not in json.loads(rr(*search).stdout)["hits"][0]

    done = rr("calibrate", "--model", str(model), "--index", "docs", "--data", str(judged))
    assert done.exit_code == 0, done.output
    assert "Expected calibration error" in done.stdout
    assert f"Note: fitting on the test judgments of {judged}\n" in done.stderr
    assert "0.0 to 0.1" in done.stdout
    assert json.loads((model / SETTINGS_FILE).read_text())["calibration"]["method"] == "platt"

    assert json.loads(rr("models", "info", str(model), "--json").stdout)["calibration"] == "platt"

    hits = json.loads(rr(*search).stdout)["hits"]
    scorer = CrossEncoder(str(model))
    assert [hit["probability"] for hit in hits] == pytest.approx(
        scorer.probabilities([hit["score"] for hit in hits])
    )
    probabilities = [hit["probability"] for hit in hits]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(set(probabilities)) > 1
    mixed = json.loads(rr(*search, "--weight", "0.5").stdout)["hits"]
    raw = [hit["sources"]["cross-encoder"]["score"] for hit in mixed]
    assert [hit["probability"] for hit in mixed] == pytest.approx(scorer.probabilities(raw))
    assert Stage(scorer, min_probability=0.5).min_probability == 0.5

    task = json.dumps({"query": "wing flow", "documents": DOCUMENTS[:3]})
    [line] = rr("rerank", "--model", str(model), input=task).stdout.splitlines()
    for document in json.loads(line)["documents"]:
        assert [document["probability"]] == pytest.approx(scorer.probabilities([document["score"]]))


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_calibration_can_be_kept_elsewhere(
    rr: Rr, judged: Path, model: Path, home: Path, method: str
) -> None:
    options = ("--index", "docs", "--data", str(judged), "--method", method, "--json")
    done = rr("calibrate", "--model", str(model), *options, "--output", "kept", "--limit", "4")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (
        report["calibration"]
        == json.loads((home / "kept" / SETTINGS_FILE).read_text())["calibration"]
    )
    assert report["calibration"]["method"] == method
    assert report["queries"] == [2, 2]
    assert sum(each["documents"] for each in report["after"]["bins"]) == report["documents"][1]

    assert CrossEncoder(str(model)).probabilities([0.0]) is None
    [probability] = CrossEncoder(str(model), calibration="kept").probabilities([0.0]) or []
    assert 0.0 <= probability <= 1.0
    with pytest.raises(InputError, match="min_probability needs a calibration"):
        Stage(CrossEncoder(str(model)), min_probability=0.5)


def test_a_calibration_of_another_label_is_not_used(home: Path) -> None:
    folder = make_model(home / "labels", "bert", labels=2)
    recorded = {"calibration": {"method": "platt", "slope": 1.0, "label": 1}}
    (folder / SETTINGS_FILE).write_text(json.dumps(recorded))

    assert CrossEncoder(str(folder), label=1).probabilities([0.0]) == [0.5]
    assert CrossEncoder(str(folder), label=0).probabilities([0.0]) is None
    with pytest.raises(ModelError, match="holds no calibration of these scores"):
        CrossEncoder(str(folder), label=0, calibration=folder)


def test_a_model_of_the_hub_needs_a_folder_for_its_calibration(rr: Rr, home: Path) -> None:
    (home / "queries.tsv").write_text("1\tq")
    (home / "qrels.tsv").write_text("1\ta\t1")
    files = ("--queries", "queries.tsv", "--qrels", "qrels.tsv", "--index", "docs")

    done = rr("calibrate", "--model", "ms-marco-MiniLM-L6-v2", *files)
    assert done.exit_code == 1
    assert "cannot be kept with it; give a folder with --output" in done.stderr


@pytest.mark.parametrize("name", ["./nope", "nope", "~/nope", "a/b/c"])
def test_a_model_that_is_not_there_is_said_to_be(rr: Rr, judged: Path, name: str) -> None:
    done = rr("calibrate", "--model", name, "--index", "docs", "--data", str(judged))
    assert done.exit_code == 1
    assert f"no model '{name}'; expected a folder" in done.stderr


def test_too_few_documents_are_not_calibrated_on_without_force(
    rr: Rr, judged: Path, model: Path
) -> None:
    options = ("--model", str(model), "--index", "docs", "--data", str(judged), "--limit", "2")
    done = rr("calibrate", *options)
    assert done.exit_code == 1
    assert "fitted on 14 relevant documents and 34 others; expected at least 20" in done.stderr
    assert not (model / SETTINGS_FILE).exists()

    assert rr("calibrate", *options, "--force").exit_code == 0
    assert (model / SETTINGS_FILE).exists()


def test_an_earlier_calibration_is_shown_when_it_is_replaced(
    rr: Rr, judged: Path, model: Path
) -> None:
    options = ("--model", str(model), "--index", "docs", "--data", str(judged))
    first = rr("calibrate", *options)
    assert "replaced" not in first.stderr
    found = json.loads((model / SETTINGS_FILE).read_text())["calibration"]

    second = rr("calibrate", *options, "--method", "isotonic")
    shape = f"platt, slope {found['slope']:.4g}, intercept {found['intercept']:.4g}"
    assert f"It replaced an earlier one: {shape}\n" in second.stderr
    assert "Warning: isotonic was fitted on 144 documents; with fewer than 1,000" in second.stderr
    points = len(json.loads((model / SETTINGS_FILE).read_text())["calibration"]["scores"])
    third = json.loads(rr("calibrate", *options, "--json").stdout)
    assert third["replaced"] == f"isotonic, {points} points"


def test_a_damaged_calibration_elsewhere_is_replaced(
    rr: Rr, judged: Path, model: Path, home: Path
) -> None:
    (home / "kept").mkdir()
    (home / "kept" / SETTINGS_FILE).write_text('{"calibration": {"method": "magic"}}')
    options = ("--index", "docs", "--data", str(judged), "--output", "kept")
    done = rr("calibrate", "--model", str(model), *options)
    assert "It replaced an earlier one: one that could not be read" in done.stderr
    assert (
        json.loads((home / "kept" / SETTINGS_FILE).read_text())["calibration"]["method"] == "platt"
    )


@pytest.mark.parametrize("path", ["x.bmp", "x", "nodir/x.png"])
def test_a_diagram_that_cannot_be_written_stops_before_the_work(
    rr: Rr, judged: Path, model: Path, path: str
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'eval'")
    options = ("--index", "docs", "--data", str(judged), "--plot", path)
    done = rr("calibrate", "--model", str(model), *options)
    assert done.exit_code == 1
    assert f"cannot write the diagram to {path}: " in done.stderr
    assert "Scoring" not in done.stderr
    assert not (model / SETTINGS_FILE).exists()


def test_a_folder_that_cannot_be_written_stops_before_the_work(
    rr: Rr, judged: Path, model: Path, home: Path
) -> None:
    (home / "file").write_text("")
    options = ("--index", "docs", "--data", str(judged), "--output", "file/folder")
    done = rr("calibrate", "--model", str(model), *options)
    assert done.exit_code == 1
    assert "cannot make folder file/folder: " in done.stderr
    assert "Scoring" not in done.stderr


def test_the_diagram_is_written(rr: Rr, judged: Path, model: Path, home: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'eval'")
    options = ("--index", "docs", "--data", str(judged), "--plot", "diagram.svg")

    assert rr("calibrate", "--model", str(model), *options).exit_code == 0
    assert (home / "diagram.svg").read_text().startswith("<?xml")
