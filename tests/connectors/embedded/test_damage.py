"""Damaged files: each is harmless, or refused before the engine repairs what it opens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import IndexCorruptError
from tests.connectors.embedded.processes import ENCODER, documents

COUNT = 200


def copy_of(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(folder), str(to)], check=True)
    return to


def answers(folder: Path) -> object:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        found = sorted(connector.scan(), key=lambda document: document.id)
        return connector.count(), found, connector.search_max_sim("wing number 7", top_k=COUNT)


def flip(file: Path) -> None:
    """Change a few bytes in the middle of what is not zero."""
    content = bytearray(file.read_bytes())
    places = [i for i in range(min(len(content), 1 << 21)) if content[i]] or [len(content) // 2]
    for place in places[len(places) // 2 :][:4]:
        content[place] ^= 0x55
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda file: os.truncate(file, 0),
    "cut in half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "changed": flip,
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "index"
    with EmbeddedConnector.create(folder, encoder=ENCODER) as connector:
        connector.index(documents(COUNT))
        connector.delete(["d3"])
    return folder


@pytest.fixture(scope="module")
def whole(index: Path) -> object:
    return answers(index)


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_damaged_file_changes_an_answer_silently(
    index: Path, whole: object, tmp_path: Path, damage: str
) -> None:
    segments = [path for path in (index / "shard").rglob("*") if path.is_file()]
    assert len(segments) > 30
    for original in segments:
        copy = copy_of(index, tmp_path / "index")
        name = original.relative_to(index)
        DAMAGE[damage](copy / name)
        if (
            "wal" in name.parts and name.name != "first-index"
        ):  # which holds nothing that is not flushed
            try:
                assert answers(copy) == whole, name
            except IndexCorruptError as exc:
                assert "wal" in str(exc) and "--recreate" in str(exc)
            continue
        before = sorted(path for path in copy.rglob("*") if path.is_file())
        with pytest.raises(IndexCorruptError) as raised:
            answers(copy)
        assert f"{name.relative_to('shard')} " in str(raised.value)
        assert f"rr index SOURCE --index {copy} --recreate" in str(raised.value)
        assert sorted(path for path in copy.rglob("*") if path.is_file()) == before


def test_changed_bytes_under_an_old_date_are_found_by_verifying(
    index: Path, tmp_path: Path
) -> None:
    copy = copy_of(index, tmp_path / "index")
    [vectors] = (copy / "shard").rglob("vector_storage-dense/vectors/chunk_0.mmap")
    dates = vectors.stat()
    flip(vectors)
    os.utime(vectors, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    with EmbeddedConnector.connect(str(copy)):
        pass
    verification = EmbeddedConnector.verify(str(copy))
    assert verification.damage == [
        f"{vectors.relative_to(copy / 'shard')} has other contents than were written"
    ]


def test_a_copy_with_other_dates_and_without_holes_is_whole(
    index: Path, whole: object, tmp_path: Path
) -> None:
    copy = tmp_path / "index"
    shutil.copytree(index, copy, copy_function=shutil.copyfile)
    assert answers(copy) == whole
    assert EmbeddedConnector.verify(str(copy)) == (COUNT - 1, [])
    assert answers(copy) == whole


def test_a_damaged_index_is_made_anew_in_its_place(index: Path, tmp_path: Path) -> None:
    copy = copy_of(index, tmp_path / "index")
    shutil.rmtree(copy / "shard" / "segments")
    with pytest.raises(IndexCorruptError):
        EmbeddedConnector.connect(str(copy))
    with EmbeddedConnector.recreate(copy, encoder=None) as connector:
        connector.index(documents(5))
        connector.activate()
    with EmbeddedConnector.connect(str(copy)) as connector:
        assert connector.count() == 5


@pytest.fixture
def old(index: Path, tmp_path: Path) -> Path:
    """An index as the first release left it: a manifest without a word of its files."""
    copy = copy_of(index, tmp_path / "index")
    content = json.loads((copy / "manifest.json").read_text())
    kept = {name: content[name] for name in ("settings", "encoder", "bm25", "fields")}
    (copy / "manifest.json").write_text(json.dumps({"format": 1, **kept}))
    return copy


def test_an_index_of_the_first_release_opens_and_goes_on_working(old: Path, whole: object) -> None:
    assert answers(old) == whole
    assert json.loads((old / "manifest.json").read_text())["format"] == 1
    with EmbeddedConnector.connect(str(old), encoder=ENCODER) as connector:
        assert "not recorded" in connector.schema().notes[0]
        assert connector.index(documents(COUNT)).indexed == 1
        assert connector.count() == COUNT
    [table] = (old / "shard").rglob("mutable_id_tracker.mappings")
    os.truncate(table, table.stat().st_size // 2)
    with pytest.raises(IndexCorruptError, match="mappings has"):
        EmbeddedConnector.connect(str(old))


def test_verifying_records_what_an_older_release_did_not(old: Path) -> None:
    assert EmbeddedConnector.verify(str(old)) == (COUNT - 1, [])
    with EmbeddedConnector.connect(str(old)) as connector:
        assert not connector.schema().notes
    [vectors] = (old / "shard").rglob("vector_storage-dense/vectors/chunk_0.mmap")
    flip(vectors)
    with pytest.raises(IndexCorruptError, match=r"chunk_0\.mmap has other contents"):
        EmbeddedConnector.connect(str(old))


@pytest.mark.parametrize(
    "lost", ["segments/*/version.info", "segments/*/*.mappings", "segments/*/*.versions", "wal/*"]
)
def test_missing_files_are_noticed_where_nothing_is_recorded(old: Path, lost: str) -> None:
    for file in list((old / "shard").glob(lost)):
        file.unlink()
    with pytest.raises(IndexCorruptError, match="is missing"):
        EmbeddedConnector.connect(str(old))
