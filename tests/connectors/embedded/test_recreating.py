"""An index made anew: the old one stays until the new one is complete, killed at any step."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.embedded.shard import RESERVE_BYTES
from retrieve_rerank.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    StorageFullError,
)
from tests.connectors.embedded.processes import ENCODER, documents, start, wait_for

OLD, NEW = documents(40), documents(30, version=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index(OLD)
    return tmp_path / "index"


def held(folder: Path) -> list[Document]:
    with EmbeddedConnector.connect(str(folder)) as connector:
        return sorted(connector.scan(), key=lambda document: int(document.id[1:]))


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_the_old_index_stays_until_the_new_one_is_complete(folder: Path) -> None:
    inode = (folder / "lock").stat().st_ino
    with EmbeddedConnector.recreate(folder, encoder=ENCODER) as connector:
        connector.index(NEW)
        assert names(folder) == {
            "lock",
            "manifest.json",
            "manifest.draft.json",
            "shard",
            "shard-2",
        }
        with pytest.raises(IndexLockedError):
            EmbeddedConnector.recreate(folder, encoder=None, lock_timeout_s=0)
        connector.activate()
        connector.activate()
        assert connector.search("wing number 7", top_k=1)[0].document == NEW[7]
        connector.index([Document("d30", "one more")])
    assert held(folder) == [*NEW, Document("d30", "one more")]
    assert names(folder) == {"lock", "manifest.json", "shard-2"}
    assert (folder / "lock").stat().st_ino == inode  # two files would be two locks
    with EmbeddedConnector.recreate(folder, encoder=None) as connector:
        connector.index(OLD)
        connector.activate()
    assert held(folder) == OLD
    assert names(folder) == {"lock", "manifest.json", "shard"}


def test_given_up_it_leaves_the_index_as_it_was(folder: Path) -> None:
    with EmbeddedConnector.recreate(folder, encoder=None) as connector:
        connector.index(NEW)
    assert held(folder) == OLD
    assert names(folder) == {"lock", "manifest.json", "shard"}


def test_where_there_is_none_nothing_is_there_until_it_is_complete(tmp_path: Path) -> None:
    with EmbeddedConnector.recreate(tmp_path / "index", encoder=None) as connector:
        connector.index(NEW)
    with pytest.raises(IndexNotFoundError):
        held(tmp_path / "index")
    with EmbeddedConnector.recreate(tmp_path / "index", encoder=None) as connector:
        connector.index(NEW)
        connector.activate()
    assert held(tmp_path / "index") == NEW


def test_files_of_others_are_never_removed(folder: Path) -> None:
    mine = ["sources/a.txt", "shard/notes.txt", "shard/segments/b.txt", "shard/wal/c", "shard-3"]
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    for expected in (NEW, OLD):
        with EmbeddedConnector.recreate(folder, encoder=None) as connector:
            connector.index(expected)
            connector.activate()
        assert held(folder) == expected
        assert all((folder / name).read_text() == "mine" for name in mine)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"name": "a web application", "icons": []}', IndexCorruptError),
        ('{"format": 1}', IndexCorruptError),
        ("", IndexCorruptError),
        (None, IndexExistsError),
    ],
)
def test_a_folder_that_is_no_index_is_refused(
    tmp_path: Path, content: str | None, error: type[Exception]
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.js").write_text("precious")
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    before = names(tmp_path)
    with pytest.raises(error):
        EmbeddedConnector.recreate(tmp_path, encoder=None)
    with pytest.raises(IndexExistsError):
        EmbeddedConnector.create(tmp_path, encoder=None)
    assert names(tmp_path) == before
    assert (tmp_path / "src" / "app.js").read_text() == "precious"


@pytest.mark.parametrize("lost", ["lost", "emptied", "cut"])
def test_a_shard_without_a_readable_manifest_is_kept(folder: Path, lost: str) -> None:
    manifest = (folder / "manifest.json").read_bytes()
    if lost == "lost":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_bytes(manifest[:200] if lost == "cut" else b"")
    for attempt in (EmbeddedConnector.recreate, EmbeddedConnector.create):
        with pytest.raises((IndexCorruptError, IndexExistsError)):
            attempt(folder, encoder=None)
    with pytest.raises(IndexCorruptError, match=r"nothing .* is touched"):
        EmbeddedConnector.connect(str(folder))
    (folder / "manifest.json").write_bytes(manifest)
    assert held(folder) == OLD


@pytest.mark.parametrize("name", ["../precious", "/tmp", "shard/../../precious", "lock", "shard"])
def test_a_manifest_makes_nothing_else_be_removed(folder: Path, name: str) -> None:
    precious = folder.parent / "precious"
    shutil.copytree(folder / "shard", precious)
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**content, "replaced": name}))
    with pytest.raises(IndexCorruptError, match=r"no shard's name|its own place"):
        EmbeddedConnector.connect(str(folder))
    assert any(precious.iterdir())
    (folder / "manifest.json").write_text(json.dumps(content))
    assert held(folder) == OLD


def test_a_broken_draft_does_not_keep_the_index_from_working(folder: Path) -> None:
    (folder / "manifest.draft.json").write_text("{")
    assert held(folder) == OLD
    with EmbeddedConnector.recreate(folder, encoder=None) as connector:
        connector.index(NEW)
        connector.activate()
    assert held(folder) == NEW


def test_there_must_be_room_for_both(small_disk: Path) -> None:
    folder = small_disk / "index"
    with EmbeddedConnector.create(folder, encoder=None) as connector:
        connector.index(documents(1500))
        takes = connector.schema().bytes_on_disk
    assert takes is not None
    room = shutil.disk_usage(small_disk).free - RESERVE_BYTES
    (small_disk / "film").write_bytes(bytes(room - takes // 2))
    with pytest.raises(StorageFullError, match=r"takes \d+ MiB, and so much is not free"):
        EmbeddedConnector.recreate(folder, encoder=None)
    assert len(held(folder)) == 1500
    (small_disk / "film").unlink()
    EmbeddedConnector.recreate(folder, encoder=None).close()


def test_killed_at_every_step_it_leaves_the_old_index_or_the_new_one(folder: Path) -> None:
    """Processes kill themselves just before their n-th change to the folder, for every n."""
    said, _ = start("recreate_killed", folder, len(NEW), 2).communicate(timeout=120)
    activated = False
    ends = []
    for line in said.splitlines():
        if line == "activated":
            activated = True
        elif line.startswith("/"):
            copy, end = line.split()
            found = held(Path(copy))
            assert found == NEW or (found == OLD and not activated)
            shard = "shard" if found == OLD else "shard-2"
            assert names(Path(copy)) == {"lock", "manifest.json", shard}
            ends.append(int(end))
    assert ends == [*([-signal.SIGKILL] * (len(ends) - 1)), 0]
    assert len(ends) > 10


def test_killed_while_indexing_it_leaves_the_old_index(folder: Path) -> None:
    process = start("recreate", folder, 3000, 2)
    wait_for(process, "done 224")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    # The engine makes its next file under this name, in a thread of its own: few kills meet it.
    (folder / "shard-2" / "wal" / "tmp-open-2").touch()
    assert "shard-2" in names(folder)
    assert held(folder) == OLD
    assert names(folder) == {"lock", "manifest.json", "shard"}


def test_of_two_at_once_the_second_waits_and_then_replaces(folder: Path) -> None:
    processes = [start("recreate", folder, 600, version) for version in (2, 3)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert held(folder) in (documents(600, version=2), documents(600, version=3))
    assert len(names(folder)) == 3
