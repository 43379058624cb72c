from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from retrieve_rerank.cli import main
from retrieve_rerank.cli.commands import demo, finetune


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


@pytest.mark.parametrize("pairs_per_s", [7, 30])  # a slow machine of two cores, and a fast one
def test_the_example_is_fine_tuned_on_in_the_minutes_that_it_is_given(pairs_per_s: int) -> None:
    finetuning = pytest.importorskip("retrieve_rerank.training.finetuning")
    plan = pytest.importorskip("retrieve_rerank.training.finetuning.plan")
    with main.make_context("rr", ["demo"]) as above:  # whose -h the commands below it have, too
        asked = finetune.command.make_context("finetune", [*demo.FINETUNE], parent=above).params
    counts = {name: asked[name] for name in ("minutes", "depth", "test_queries", "dev_queries")}
    settings = finetuning.FinetuneSettings(**counts)
    judged = finetuning.read_judged_folder(asked["data"]).at_most(
        dev=settings.dev_queries,
        calibration=settings.calibration_queries,
        test=settings.test_queries,
    )
    assert judged.sizes() == {"train": 2329, "dev": 40, "calibration": 100, "test": 100}
    assert not judged.left_out
    made = plan.make_plan(
        judged.sizes(), settings, plan.Speed(2.5 * pairs_per_s, pairs_per_s), index=asked["index"]
    )
    assert made.total_s <= 60 * asked["minutes"] <= 8 * 60
    assert made.steps >= plan.FEWEST_STEPS
