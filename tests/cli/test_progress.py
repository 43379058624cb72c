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


def test_more_than_was_reckoned_with_is_not_more_than_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with show_progress(share_of(100), doing="making queries", quiet=False) as advance:
        advance(264)
    line = capsys.readouterr().err
    assert line.endswith(", 100%, about 0 s left\n"), line


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


def test_slow_work_is_told_in_units_that_mean_something(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with show_progress(share_of(100), doing="training", quiet=False, things="steps") as advance:
        for clock[0], steps in ((20.0, 1), (40.0, 49), (50.0, 49), (3000.0, 1)):
            advance(steps)
    assert capsys.readouterr().err.splitlines() == [
        "1 steps, 3.0/min, 1%, about 33 min left",
        "50 steps, 1.2/s, 50%, about 40 s left",
        "99 steps, 2.0/s, 99%, about 1 s left",
        "100 steps, 2.0/min, 100%, about 0 s left",
    ]
