"""Forked children, full disks, pickles: what an index does beyond the process that opened it."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import IndexLockedError, StorageFullError
from tests.connectors.embedded.processes import ENCODER, documents, start

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with EmbeddedConnector.create(tmp_path / "index", encoder=ENCODER) as connector:
        connector.index(documents(50))
    return tmp_path / "index"


def in_child(work: Callable[[], object], file: Path) -> int:
    """Do it in a forked child, which writes what came of it; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            file.write_text(str(work()))
        except BaseException as exc:
            file.write_text(f"{type(exc).__name__}: {exc}")
        os._exit(0)
    return child


@pytest.mark.parametrize(
    "work",
    [
        lambda it: it.search("wing number 7", top_k=1),
        lambda it: it.count(),
        lambda it: it.index([Document("child", "text")]),
        lambda it: it.delete(["d1"]),
    ],
)
def test_a_child_is_told_to_connect_itself_and_changes_nothing(
    folder: Path, tmp_path: Path, work: Callable[[EmbeddedConnector], object]
) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.search("wing", top_k=1)
        files = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

        def use_and_close() -> object:
            try:
                return work(connector)
            finally:
                connector.close()

        os.waitpid(in_child(use_and_close, tmp_path / "said"), 0)
        said = (tmp_path / "said").read_text()
        assert f"opened by process {os.getpid()}, of which this one is a fork" in said
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == files
        assert connector.search("wing number 7", top_k=1)[0].document.id == "d7"
        with pytest.raises(IndexLockedError):  # closing in the child has not unlocked the parent's
            EmbeddedConnector.connect(str(folder), lock_timeout_s=0)


def test_a_living_child_does_not_keep_the_index_locked(folder: Path, tmp_path: Path) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        child = in_child(lambda: time.sleep(30), tmp_path / "said")
    try:
        said = start("search", folder, "wing number 7").communicate(timeout=60)[0]
        assert said.strip() == "d7"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert connector is not None


def test_a_child_that_outlives_a_killed_parent_does_not_either(folder: Path) -> None:
    parent = start("fork", folder)
    said = parent.communicate(timeout=60)[0].split()
    try:
        assert parent.returncode == -9
        with EmbeddedConnector.connect(str(folder), lock_timeout_s=1) as connector:
            assert connector.count() == 50
    finally:
        os.kill(int(said[-1]), 9)


def test_a_child_may_connect_once_the_parent_has_closed(folder: Path, tmp_path: Path) -> None:
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.search("wing", top_k=1)

    def connect() -> str:
        with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
            return connector.search("wing number 7", top_k=1)[0].document.id

    os.waitpid(in_child(connect, tmp_path / "said"), 0)
    assert (tmp_path / "said").read_text() == "d7"


def test_a_full_disk_names_the_folder_and_leaves_nothing_locked(small_disk: Path) -> None:
    folder = small_disk / "index"
    with EmbeddedConnector.create(folder, encoder=None) as connector:
        connector.index(documents(20))
    film = small_disk / "film"
    with film.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    for _ in range(2):
        try:
            with EmbeddedConnector.connect(str(folder), lock_timeout_s=0) as connector:
                assert connector.search("wing number 7", top_k=1)[0].document.id == "d7"
        except StorageFullError as exc:
            assert str(folder) in str(exc)
    film.unlink()
    with EmbeddedConnector.connect(str(folder), lock_timeout_s=0) as connector:
        assert connector.count() == 20


def test_a_retriever_says_why_it_cannot_be_pickled(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder)) as connector:
        for each in (Retriever(connector), Retriever(MemoryConnector([])), connector):
            with pytest.raises(TypeError, match="make it anew in the process that uses it"):
                pickle.dumps(each)
