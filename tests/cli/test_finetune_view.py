"""What a person is shown of a fine-tuning run's proof."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")
pytest.importorskip("accelerate", reason="needs the extra 'train'")

from retrieve_rerank.cli.views.finetune import Terminal
from retrieve_rerank.evaluation.evaluate import evaluate_rankings
from retrieve_rerank.training.finetuning.proof import MEASURES, RETUNED, TUNED, Proof
from retrieve_rerank.training.gate import judge
from retrieve_rerank.training.held_out import HeldOut
from retrieve_rerank.types import Qrels


def test_the_proof_shows_what_gained_and_what_lost_most(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    qrels: Qrels = {"up": {"wing": 1}, "down": {"wing": 1}, "same": {"wing": 1}}
    before = {"up": ["heat", "wing"], "down": ["wing", "heat"], "same": ["wing"]}
    after = {"up": ["wing", "heat"], "down": ["heat", "wing"], "same": ["wing"]}
    systems = [
        evaluate_rankings(name, rankings, qrels, measures=MEASURES)
        for name, rankings in ((RETUNED, before), (TUNED, after))
    ]
    texts = {"wing": "Lift of a wing " * 20, "heat": "Heat in a pipe."}
    queries = {query: f"what goes {query}?" for query in qrels}
    held_out = HeldOut(systems, systems[0], queries, qrels, texts)
    proof = Proof(judge(before, after, qrels), held_out, {})
    Terminal(quiet=False, kept_in=Path("models")).tell(proof)
    shown = capsys.readouterr().out
    gained, lost = shown[shown.index("Gained most") :].split("Lost most")
    assert "“what goes up?”" in gained and "“what goes down?”" in lost
    rows = [line.split() for line in gained.splitlines() if line.startswith("Heat in a pipe.")]
    assert rows[0][4] == "✓"  # beside it, after training, stands what is relevant
    assert len(max(shown.splitlines(), key=len)) <= 100
    assert "what goes same?" not in shown
