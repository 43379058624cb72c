"""The report of a trained model, one HTML file: verdict, curve, tables, slices, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from retrieve_rerank.evaluation.compare import DRAWS, deltas
from retrieve_rerank.evaluation.files import write_text
from retrieve_rerank.evaluation.report.findings import p_value, signed
from retrieve_rerank.evaluation.report.pages import render_page
from retrieve_rerank.evaluation.report.plots import learning_curve, sorted_deltas
from retrieve_rerank.training.doubtful import Doubtful
from retrieve_rerank.training.gate import Verdict
from retrieve_rerank.training.held_out import HeldOut, excerpt
from retrieve_rerank.training.trainers.result import CurvePoint
from retrieve_rerank.training.tuning import JUDGED, PRIMARY, Tuned


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trained model, and what it is worth on the held-out queries."""

    name: str
    index: str
    """The index's address, free of secrets."""
    verdict: Verdict
    held_out: HeldOut
    tuned: Tuned
    """The trained model's weight and depth."""
    curve: Sequence[CurvePoint] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it was trained on and how, in the order in which it is told."""
    doubtful: Doubtful | None = None
    """Training positives that are probably wrong; None where they were not looked for."""
    notes: Sequence[str] = ()
    """What to mind, a sentence each."""
    folds: int = 0
    """Over how many folds the procedure was judged; 0 where this model itself was."""


def write_report(path: Path, outcome: Outcome) -> None:
    """Write the page; raise InputError where that fails."""
    write_text(path, render_outcome(outcome))


def render_outcome(outcome: Outcome) -> str:
    """Return the page."""
    held_out = outcome.held_out
    gained, lost = held_out.examples()
    differences = list(deltas(held_out.trained, held_out.baseline, PRIMARY).values())
    weights = sorted({trial.weight for trial in outcome.tuned.trials})
    depths = sorted({trial.depth for trial in outcome.tuned.trials})
    return render_page(
        "promotion.html",
        filters={"signed": signed, "p": p_value, "short": excerpt},
        title=f"{outcome.name} on {outcome.index}",
        outcome=outcome,
        verdict=outcome.verdict,
        rows=held_out.rows(),
        primary=PRIMARY,
        judged=JUDGED,
        curve=Markup(learning_curve([(p.step, p.loss, p.measure) for p in outcome.curve]))
        if len(outcome.curve) > 1
        else None,
        plot=Markup(
            sorted_deltas(
                differences,
                measure=PRIMARY,
                title=f"{held_out.trained.name} against {held_out.baseline.name}",
            )
        ),
        weights=weights,
        depths=depths,
        by_setting={(t.weight, t.depth): t.value for t in outcome.tuned.trials},
        examples=(("Gained most", gained), ("Lost most", lost)),
        draws=DRAWS,
    )
