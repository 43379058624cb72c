"""`rr models` as its user meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retrieve_rerank.cli import main
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.checkpoints.version_record import Record, Serving, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.settings.sources import load_settings
from tests.server.tiny_scorer import make_scorer


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub: neither a network nor anything downloaded before, nor trained."""
    monkeypatch.setenv("RR_DATA_DIR", str(tmp_path / "data"))
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def rr(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


def test_list_shows_aliases_and_what_is_present() -> None:
    lines = rr("list").stdout.splitlines()

    assert lines[0].split()[:3] == ["all-MiniLM-L6-v2", "encoder", "present"]
    assert any(line.startswith("bge-reranker-v2-m3") and "to download" in line for line in lines)


def test_list_as_json_has_one_object_a_line() -> None:
    aliases = {
        alias["name"]: alias for alias in map(json.loads, rr("list", "--json").stdout.splitlines())
    }

    assert aliases["bge-m3"]["repository"] == "BAAI/bge-m3"
    assert not aliases["bge-m3"]["present"]


def test_info_says_what_a_model_is_and_what_runs_it() -> None:
    description = json.loads(rr("info", "all-MiniLM-L6-v2", "--json").stdout)

    assert description["kind"] == "encoder"
    assert (description["dimension"], description["max_tokens"]) == (384, 256)
    assert description["pooling"] == ["mean"]
    assert description["licence"] == "apache-2.0"
    assert "int8 weights" in description["runs_on"]
    assert len(description["fingerprint"]) == 16
    shown = rr("info", "all-MiniLM-L6-v2").stdout
    assert description["fingerprint"] in shown
    assert re.search(r"^licence +apache-2.0$", shown, re.M)


def test_an_unknown_model_leaves_one_line_and_exit_code_one() -> None:
    result = rr("info", "nonsense")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "no model 'nonsense'; expected a folder, a hub id" in result.stderr


def test_offline_a_hub_id_says_what_to_do() -> None:
    result = rr("info", "BAAI/bge-m3")

    assert result.exit_code == 1
    assert "is not in the local cache" in result.stderr
    assert "hf download BAAI/bge-m3" in result.stderr


def test_info_of_a_gpu_that_is_not_there_is_the_error_of_loading() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'torch'")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = rr("info", "all-MiniLM-L6-v2", "--device", "cuda")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "torch finds no GPU; use device 'cpu'" in result.stderr


def test_export_prints_the_fidelity(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="needs the extra 'export'")
    tiny = pytest.importorskip("tests.models.tiny")
    folder = tiny.make_model(tmp_path / "model", "bert", labels=1)
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"query": "a cat", "documents": ["one", "two cats"]}\n' * 2)
    out = tmp_path / "out"
    arguments = ("export", str(folder), str(out), "--calibrate", str(samples))

    result = rr(*arguments, "--precision", "fp32", "--json")
    assert result.exit_code == 0, result.stderr
    written = json.loads(result.stdout)
    assert written["fidelity"]["top_10_overlap"] == 1
    assert written["folder"] == str(out)

    again = rr(*arguments)
    assert again.exit_code == 1
    assert "exists already" in again.stderr


@pytest.fixture
def trained(home: Path) -> ModelVersions:
    """Two versions, of which the second has a record."""
    folder = make_scorer(home / "trained")
    versions = ModelVersions(load_settings().data_dir, "docs-reranker")
    versions.add(folder)
    serving = Serving("qdrant://host/docs", depth=30, weight=0.8)
    write_record(
        folder,
        Record("2026-01-02T03:04:05+00:00", "better: as measured", 0.0251, -0.01, 0.06, serving),
    )
    versions.add(folder)
    return versions


def test_versions_are_listed_promoted_and_rolled_back(trained: ModelVersions) -> None:
    found = [json.loads(line) for line in rr("list", "docs-reranker", "--json").stdout.splitlines()]
    assert [(each["version"], each["promoted"]) for each in found] == [(1, False), (2, False)]
    assert found[1]["serving"]["depth"] == 30

    told = rr("promote", "docs-reranker")

    assert told.exit_code == 0
    assert told.stdout.splitlines()[0] == "docs-reranker@2 is promoted."
    assert "+0.025, 95 % interval −0.010 to +0.060" in told.stdout
    assert "qdrant://host/docs, depth 30, weight 0.8" in told.stdout
    assert "docs-reranker@2  promoted" in rr("list", "docs-reranker").stdout.splitlines()
    assert json.loads(rr("promote", "docs-reranker", "1", "--json").stdout)["version"] == 1
    assert json.loads(rr("list", "--json").stdout.splitlines()[0]) == {
        "name": "docs-reranker",
        "kind": "cross-encoder",
        "present": True,
        "versions": [1, 2],
        "promoted": 1,
    }
    assert "docs-reranker@2 is promoted." in rr("rollback", "docs-reranker").stdout
    assert (
        "No version of docs-reranker is promoted any more" in rr("rollback", "docs-reranker").stdout
    )
    assert trained.promoted is None
    assert rr("rollback", "docs-reranker").exit_code == 1
    assert json.loads(rr("promote", "docs-reranker@1", "--json").stdout)["version"] == 1


def test_an_encoder_is_listed_as_one_and_promoting_it_says_what_it_is_for() -> None:
    versions = ModelVersions(load_settings().data_dir, "docs-tokens")
    versions.add(Path(resolve("all-MiniLM-L6-v2")))
    assert json.loads(rr("list", "--json").stdout.splitlines()[0])["kind"] == "encoder"
    told = rr("promote", "docs-tokens")
    assert "rr tensors refresh --index INDEX --model docs-tokens@1" in told.stderr
    assert "is used where it is named" not in told.stderr
    (versions.path(1) / "config.json").write_text("{")
    assert json.loads(rr("list", "--json").stdout.splitlines()[0])["kind"] == "unreadable"


def test_what_is_not_there_is_an_error_that_lists_what_is(trained: ModelVersions) -> None:
    for arguments, wanted in (
        (("promote", "other"), "no model 'other' was trained here; known: docs-reranker"),
        (("list", "other"), "no model 'other' was trained here; known: docs-reranker"),
        (("promote", "docs-reranker", "7"), "there: docs-reranker@1, docs-reranker@2"),
        (("info", "docs-reranker@7"), "there: docs-reranker@1, docs-reranker@2"),
        (("promote", "a/b"), "cannot be a model's name"),
    ):
        result = rr(*arguments)
        assert result.exit_code == 1
        assert wanted in result.stderr, arguments
    assert rr("promote", "docs-reranker", "0").exit_code == 2
    result = rr("promote", "docs-reranker", "one")
    assert result.exit_code == 2
    assert "'one' is not a valid version number" in result.stderr


def test_a_damaged_version_is_not_promoted(trained: ModelVersions) -> None:
    (trained.path(2) / "config.json").write_text("{")
    result = rr("promote", "docs-reranker", "2")
    assert result.exit_code == 1
    assert trained.promoted is None
    assert "config.json" in result.stderr
    (trained.folder / "promoted.json").write_text("nonsense")
    result = rr("list", "docs-reranker")
    assert result.exit_code == 1
    assert "promoted.json to have no version of docs-reranker promoted" in result.stderr


def test_a_trained_model_is_named_wherever_a_model_is(trained: ModelVersions) -> None:
    rr("promote", "docs-reranker", "1")
    facts = json.loads(rr("info", "docs-reranker", "--json").stdout)
    assert facts["folder"] == str(trained.path(1))
    assert (
        json.loads(rr("info", "docs-reranker@2", "--json").stdout)["fingerprint"]
        == (facts["fingerprint"])
    )
