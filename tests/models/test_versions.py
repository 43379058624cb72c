"""Versions of a model: numbered, promoted at once or not at all, found by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retrieve_rerank.errors import InputError, ModelError, ModelNotFoundError
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.checkpoints.version_lookup import promotion_for
from retrieve_rerank.models.checkpoints.version_record import Record, Serving, now, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from tests.full_disk import full_from


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    (folder / "openvino").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "openvino" / "openvino_model.bin").write_bytes(b"weights")
    return folder


def record(model: Path, index: str, depth: int = 30) -> None:
    write_record(model, Record(verdict="better", gain=0.1, serving=Serving(index, depth=depth)))


def test_versions_are_numbered_and_promoted_one_at_a_time(tmp_path: Path, model: Path) -> None:
    versions = ModelVersions(tmp_path / "data", "docs-reranker")
    assert (versions.numbers, versions.promoted, versions.list()) == ([], None, [])

    assert [versions.add(model), versions.add(model)] == [1, 2]
    assert versions.promoted is None
    versions.promote(1)
    versions.promote(2)
    versions.promote(2)

    assert [(v.address, v.promoted) for v in versions.list()] == [
        ("docs-reranker@1", False),
        ("docs-reranker@2", True),
    ]
    assert (versions.path(2) / "openvino" / "openvino_model.bin").read_bytes() == b"weights"
    assert versions.rollback() == 1
    assert versions.rollback() is None
    assert versions.promoted is None
    with pytest.raises(ModelNotFoundError, match="no version of docs-reranker is promoted"):
        versions.rollback()


def test_a_model_that_is_added_again_after_a_kill_stays_the_version_that_it_is(
    tmp_path: Path, model: Path
) -> None:
    versions = ModelVersions(tmp_path / "data", "docs-reranker")
    write_record(model, Record(created=now(), verdict="better"))
    assert [versions.add(model), versions.add(model)] == [1, 1]
    write_record(model, Record(created=now(), verdict="better"))
    assert [versions.add(model), versions.add(model)] == [2, 2]
    assert versions.numbers == [1, 2]


def test_a_number_is_not_given_twice(tmp_path: Path, model: Path) -> None:
    versions = ModelVersions(tmp_path, "docs-reranker")
    versions.promote(versions.add(model))
    versions.path(1).rename(tmp_path / "elsewhere")

    assert versions.add(model) == 2
    with pytest.raises(ModelNotFoundError, match=r"version 1 .* there: docs-reranker@2"):
        versions.promote(1)


def test_names_find_the_promoted_version_or_the_one_they_number(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RR_DATA_DIR", str(tmp_path))
    versions = ModelVersions(tmp_path, "named-reranker")
    assert [versions.add(model), versions.add(model)] == [1, 2]

    with pytest.raises(
        ModelNotFoundError, match="none of which is promoted: named-reranker@1, named"
    ):
        resolve("named-reranker")
    versions.promote(1)

    assert resolve("named-reranker") == versions.path(1)
    assert resolve("named-reranker@2") == versions.path(2)
    for wrong in ("named-reranker@3", "named-reranker@", "named-reranker@x", "named-reranker@../2"):
        with pytest.raises(ModelNotFoundError, match="named-reranker@1, named-reranker@2"):
            resolve(wrong)
    with pytest.raises(ModelNotFoundError, match="no model 'other-reranker@1'"):
        resolve("other-reranker@1")


def test_an_index_is_served_by_what_was_promoted_for_it_last(tmp_path: Path, model: Path) -> None:
    assert promotion_for(tmp_path, "/indexes/docs") is None
    for name, index, depth in (
        ("a", "/indexes/docs", 10),
        ("b", "qdrant://host/docs", 20),
        ("c", "/indexes/docs", 30),
    ):
        record(model, index, depth)
        versions = ModelVersions(tmp_path, name)
        versions.promote(versions.add(model))

    found = promotion_for(tmp_path, "/indexes/docs")

    assert found is not None
    assert (found.address, found.serving) == ("c@1", Serving("/indexes/docs", depth=30))
    ModelVersions(tmp_path, "c").rollback()
    assert (found := promotion_for(tmp_path, "/indexes/docs")) and found.address == "a@1"
    assert promotion_for(tmp_path, "/indexes/other") is None


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"history": [{}]}', '{"history": [{"version": "1"}]}', '{"history": 3}']
)
def test_a_damaged_promotion_is_an_error_that_names_the_file(
    tmp_path: Path, model: Path, content: str
) -> None:
    versions = ModelVersions(tmp_path, "docs-reranker")
    versions.add(model)
    (versions.folder / "promoted.json").write_text(content)

    with pytest.raises(ModelError, match=r"promoted\.json.*\. Delete .*promoted\.json") as caught:
        _ = versions.promoted
    assert "download" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".a", "a b", "é"])
def test_names_that_are_no_folders_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a model's name"):
        ModelVersions(tmp_path, name)


_SWITCH = """
import sys
from retrieve_rerank.models.checkpoints.versions import ModelVersions
versions = ModelVersions(sys.argv[1], "docs-reranker")
print("ready", flush=True)
while True:
    versions.promote(2)
    versions.promote(1)
"""


def test_a_process_killed_while_it_promotes_leaves_one_version_or_the_other(
    tmp_path: Path, model: Path
) -> None:
    versions = ModelVersions(tmp_path, "docs-reranker")
    assert [versions.add(model), versions.add(model)] == [1, 2]
    versions.promote(1)
    for _ in range(3):
        both = [
            subprocess.Popen(
                [sys.executable, "-c", _SWITCH, str(tmp_path)],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for _ in range(2)
        ]
        for process in both:
            assert process.stdout is not None and process.stdout.readline()
        deadline = time.monotonic() + 0.1
        seen = set()
        while time.monotonic() < deadline:
            seen.add(versions.promoted)
        for process in both:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        assert seen <= {1, 2}
        history = json.loads((versions.folder / "promoted.json").read_text())["history"]
        assert {each["version"] for each in history} == {1, 2}
    versions.promote(2)  # no lock is left behind
    assert versions.promoted == 2


def test_a_copy_that_fails_leaves_no_version(tmp_path: Path, model: Path) -> None:
    versions = ModelVersions(tmp_path / "data", "docs-reranker")
    (versions.folder / ".copying" / "left over").mkdir(parents=True)  # by a process that was killed
    (model / "gone.json").symlink_to(tmp_path / "nothing")

    with pytest.raises(ModelError, match="the model is still in its own folder"):
        versions.add(model)

    (model / "gone.json").unlink()
    (model / "config.json").write_bytes(bytes(5000))
    with (
        full_from(2000),
        pytest.raises(
            ModelError, match=r"version 1 of docs-reranker: \[Errno \d+\] File too large"
        ),
    ):
        versions.add(model)

    assert versions.numbers == []
    assert versions.add(model) == 1
    assert {each.name for each in versions.folder.iterdir()} == {"1", ".lock"}
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        versions.add(tmp_path / "nothing")
