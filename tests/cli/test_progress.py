"""What a log shows of work on many things."""

from __future__ import annotations

import pytest

from retrieve_rerank.cli.views import progress
from retrieve_rerank.cli.views.progress import share_of, show_progress


@pytest.mark.parametrize("things", ["documents", "queries"])
def test_the_last_line_of_a_log_counts_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, things: str
) -> None:
    with show_progress(share_of(1069), doing="indexing", quiet=False, things=things) as advance:
        monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
        advance(1024)
        monkeypatch.setattr(progress, "LINE_EVERY_S", 1e9)
        advance(45)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"1,024 {things}, ")
    assert last.startswith(f"1,069 {things} in ")


def test_short_work_leaves_a_log_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(share_of(3), doing="indexing", quiet=False) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_work_that_failed_is_not_said_to_be_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with (
        pytest.raises(OSError),
        show_progress(share_of(4), doing="indexing", quiet=False) as advance,
    ):
        advance(2)
        monkeypatch.setattr(progress, "LINE_EVERY_S", 1e9)
        advance(1)
        raise OSError
    assert len(capsys.readouterr().err.splitlines()) == 1
