"""Processes killed at random moments: what they reported is there, and nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from tests.connectors.embedded.processes import ENCODER, documents, start, wait_for

COUNT = 3000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    EmbeddedConnector.create(tmp_path / "index", encoder=ENCODER).close()
    return tmp_path / "index"


def kill_later(process: subprocess.Popen[str], *, seconds: float) -> int:
    """Kill a process that is indexing; return how many documents it had reported by then."""
    wait_for(process, "open")
    time.sleep(seconds)
    process.kill()
    said, _ = process.communicate()
    reports = [line.split()[1] for line in said.splitlines() if line.startswith("done ")]
    return int(reports[-1]) if reports else 0


def stored(connector: EmbeddedConnector) -> dict[str, Document]:
    """Everything there is, found once each, by walking and by asking for the ids alike."""
    found = list(connector.scan())
    assert len({document.id for document in found}) == len(found) == connector.count()
    by_id = {document.id: document for document in found}
    assert connector.get(list(by_id)) == found
    return by_id


def assert_vectors_are_the_texts(
    connector: EmbeddedConnector, documents: Sequence[Document]
) -> None:
    for document in documents:
        hits = connector.search(document.text, top_k=100)
        [hit] = [hit for hit in hits if hit.document == document]
        assert hit.sources["dense"].score == pytest.approx(1.0, abs=1e-4)
        assert "bm25" in hit.sources


def test_indexing_killed_at_random_moments_loses_and_doubles_nothing(folder: Path) -> None:
    randomly = random.Random(11)
    expected = documents(COUNT)
    for _ in range(4):
        reported = kill_later(start("index", folder, COUNT, 1), seconds=randomly.uniform(0, 2.5))
        with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
            found = stored(connector)
            assert all(found[document.id] == document for document in expected[:reported])
            assert all(document in expected for document in found.values())
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        report = connector.index(expected)
        assert report.indexed + report.unchanged == COUNT
        assert report.unchanged >= reported
        assert stored(connector) == {document.id: document for document in expected}
        assert_vectors_are_the_texts(connector, randomly.sample(expected, 30))


def test_replacing_killed_at_random_moments_leaves_whole_documents(folder: Path) -> None:
    randomly = random.Random(12)
    old, new = documents(COUNT), documents(COUNT, version=2)
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.index(old)
    for _ in range(3):
        reported = kill_later(start("index", folder, COUNT, 2), seconds=randomly.uniform(0.1, 2))
        with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
            found = stored(connector)
            assert len(found) == COUNT
            for before, after in zip(old[reported:], new[reported:], strict=True):
                assert found[before.id] in (before, after)
            assert all(found[document.id] == document for document in new[:reported])
            some = randomly.sample(sorted(found.values(), key=lambda each: each.id), 30)
            assert_vectors_are_the_texts(connector, some)
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER) as connector:
        connector.index(new)
        assert stored(connector) == {document.id: document for document in new}
        assert_vectors_are_the_texts(connector, randomly.sample(new, 30))


def test_ctrl_c_while_indexing_keeps_what_was_reported(folder: Path) -> None:
    process = start("index", folder, 100_000, 1)
    wait_for(process, "done 480")
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert process.returncode == 130
    with EmbeddedConnector.connect(str(folder), encoder=ENCODER, lock_timeout_s=0) as connector:
        found = stored(connector)
        assert len(found) >= 480
        assert all(found[document.id] == document for document in documents(480))
