"""An index that somebody deletes, moves or makes anew while it is open here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import IndexLockedError, IndexMismatchError
from tests.connectors.embedded.processes import documents, start, wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index(documents(50))
    return tmp_path / "index"


def make_anew(folder: Path) -> None:
    """Make another index there, in a process of its own."""
    with start("recreate", folder, 3, 2) as made:
        wait_for(made, "activated")
        assert made.wait() == 0


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_index_made_anew_elsewhere_is_neither_searched_nor_written_to(folder: Path) -> None:
    connector = EmbeddedConnector.connect(str(folder))
    retriever = Retriever(connector)
    assert [hit.document.id for hit in retriever.search("number 7", top_k=1)] == ["d7"]
    shutil.rmtree(folder)
    make_anew(folder)
    before = contents(folder)

    for work in (
        lambda: retriever.search("number 7"),
        lambda: connector.index([Document("late", "a late wing")]),
        lambda: connector.delete(["d1"]),
        lambda: connector.optimize(),
        lambda: connector.count(),
        lambda: list(connector.scan()),
    ):
        with pytest.raises(IndexMismatchError, match="no longer the one that was opened"):
            work()
    connector.close()
    assert contents(folder) == before
    with EmbeddedConnector.connect(str(folder)) as anew:
        [hit] = anew.search("wing number 1", top_k=1)
        assert (anew.count(), hit.document.metadata["version"]) == (3, 2)


def test_a_folder_that_is_gone_is_not_answered_from_nor_made_again(folder: Path) -> None:
    connector = EmbeddedConnector.connect(str(folder))
    connector.index([Document("new", "wing")])
    folder.rename(folder.with_name("moved"))

    with pytest.raises(IndexMismatchError, match="deleted, moved away or made anew"):
        connector.search("wing", top_k=1)
    connector.close()
    assert not folder.exists()
    # A copy: the engine keeps its own lock until this process ends.
    shutil.copytree(folder.with_name("moved"), folder)
    with EmbeddedConnector.connect(str(folder)) as moved:
        assert moved.count() == 51, "what was written is in the log"


def test_a_draft_of_a_folder_made_anew_removes_nothing_of_it(folder: Path) -> None:
    draft = EmbeddedConnector.recreate(folder, encoder=None)
    draft.index(documents(10, version=9))
    shutil.rmtree(folder)
    make_anew(folder)
    before = contents(folder)
    with pytest.raises(IndexMismatchError, match="no longer the one"):
        draft.activate()
    draft.close()
    assert contents(folder) == before


def test_recreating_waits_for_those_who_search(folder: Path) -> None:
    with EmbeddedConnector.connect(str(folder)) as connector:
        with pytest.raises(IndexLockedError, match="this very process"):
            EmbeddedConnector.recreate(folder, encoder=None, lock_timeout_s=0.05)
        assert connector.count() == 50
