from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import IndexLockedError
from tests.connectors.embedded.processes import ENCODER, documents, start, wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with EmbeddedConnector.create(tmp_path / "index", encoder=ENCODER) as connector:
        connector.index(documents(50))
    return tmp_path / "index"


def test_searches_started_together_all_answer(folder: Path) -> None:
    searches = [start("search", folder, f"wing number {i}") for i in range(4)]
    answers = [search.communicate(timeout=60)[0].strip() for search in searches]
    assert answers == ["d0", "d1", "d2", "d3"]


def test_a_long_lived_owner_is_named_in_the_error_and_while_it_is_waited_for(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = start("hold", folder, 60)
    try:
        wait_for(owner, "open")
        with pytest.raises(IndexLockedError) as raised:
            EmbeddedConnector.connect(str(folder), lock_timeout_s=0.2)
        assert f"process {owner.pid} (processes.py hold) on" in str(raised.value)
        assert "0.2 s" in str(raised.value)
        with pytest.raises(IndexLockedError, match="one process can have it open at a time"):
            EmbeddedConnector.connect(str(folder), lock_timeout_s=0)
        assert not caplog.messages
        with pytest.raises(IndexLockedError):
            EmbeddedConnector.connect(str(folder), lock_timeout_s=1.3)
        [told] = caplog.messages
        assert f"in use by process {owner.pid}" in told and "at most 1.3 s" in told
    finally:
        owner.kill()
        owner.communicate()
    with EmbeddedConnector.connect(str(folder), lock_timeout_s=0) as connector:
        assert connector.count() == 50  # a killed owner's lock is gone with it


def test_a_second_connector_of_the_same_process_is_told_so(folder: Path) -> None:
    with (
        EmbeddedConnector.connect(str(folder)) as connector,
        pytest.raises(IndexLockedError, match=r"in this very process.* close the other one first"),
    ):
        EmbeddedConnector.connect(str(folder), lock_timeout_s=60)  # at once all the same
    connector.close()
    with EmbeddedConnector.connect(str(folder), lock_timeout_s=0):
        pass


def test_two_creations_at_once_make_one_index(tmp_path: Path) -> None:
    made, refused = [], []

    def create() -> None:
        try:
            made.append(EmbeddedConnector.create(tmp_path / "index", encoder=None))
        except Exception as exc:
            refused.append(type(exc).__name__)

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join(1)
    threads[1].join(1)
    made[0].close()
    for thread in threads:
        thread.join()
    assert (len(made), refused) == (1, ["IndexExistsError"])


def test_a_paused_owner_makes_others_wait_then_lets_them_in(folder: Path) -> None:
    owner = start("hold", folder, 0.5)
    wait_for(owner, "open")
    os.kill(owner.pid, signal.SIGSTOP)
    with pytest.raises(IndexLockedError):
        EmbeddedConnector.connect(str(folder), lock_timeout_s=0.1)
    os.kill(owner.pid, signal.SIGCONT)
    with EmbeddedConnector.connect(str(folder), lock_timeout_s=60) as connector:
        assert connector.count() == 50
    assert owner.wait() == 0
    owner.communicate()
