from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from retrieve_rerank.cli import main
from retrieve_rerank.cli.commands import demo


@pytest.mark.slow
def test_the_demo_shows_both_orders_and_what_they_are_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    first = CliRunner().invoke(main, ["demo"])
    assert first.exit_code == 0, first.output
    assert "1,069 passages" in first.stdout
    assert "before: BM25 + dense" in first.stdout
    assert "✓ judged to answer the question" in first.stdout
    rows = [line.split("│") for line in first.stdout.splitlines() if line.startswith("│ BM25")]
    ndcg = {row[1].strip(): float(row[2]) for row in rows}
    assert ndcg["BM25"] < ndcg["BM25 + dense"] < ndcg["BM25 + dense → MaxSim"]

    monkeypatch.setattr(demo, "JUDGED", 3)  # the measurement is the same as before
    again = CliRunner().invoke(main, ["demo", "yahoo.com: do they use cookies?"])
    assert again.exit_code == 0, again.output
    assert "yahoo.com: do they use cookies?" in again.stdout


def test_what_trains_is_asked_for_before_anything_is_done(tmp_path: Path) -> None:
    without = "import sys; sys.modules['torch'] = None; sys.argv = ['rr', 'demo', '--finetune']; "
    done = subprocess.run(
        [sys.executable, "-c", f"{without}from retrieve_rerank.cli import run; run()"],
        env={**os.environ, "RR_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "needs the extra 'train': pip install 'retrieve-rerank[train]'" in done.stderr
    assert not list(tmp_path.iterdir())
