"""An evaluation for people at a terminal: a table of measures, and one of differences."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.evaluation.compare import Comparison
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation, latency
from retrieve_rerank.evaluation.report.findings import p_value, signed, tone, verdict

_STYLES = {"better": "green", "worse": "red", "even": ""}
MARKS = {"better": "▲", "worse": "▼", "even": " "}


def print_evaluation(
    console: Console,
    evaluation: Evaluation,
    *,
    baseline: StageEvaluation | None = None,
    comparisons: Sequence[Comparison] = (),
) -> None:
    """Print measures and times of each stage, differences, and in words what they mean."""
    console.print(quality_table(evaluation, baseline=baseline))
    if baseline is None or not comparisons:
        return
    console.print()
    console.print(comparison_table(comparisons))
    for stage in evaluation.stages:
        own = [comparison for comparison in comparisons if comparison.stage == stage.name]
        if own:
            found = verdict(stage, baseline, own)
            claim = (found.claim, f"bold {_STYLES[found.tone]}")
            console.print()
            console.print(Text.assemble(claim, " ", found.evidence))


def quality_table(evaluation: Evaluation, *, baseline: StageEvaluation | None = None) -> Table:
    """Lay out a row for each measure and a column for each stage, the times below."""
    stages = list(evaluation.stages)
    if baseline is not None and all(stage is not baseline for stage in stages):
        stages.insert(0, baseline)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"{len(evaluation.qrels):,} queries", overflow="fold")
    for stage in stages:
        table.add_column(stage.name, justify="right", overflow="fold")
    if evaluation.total_ms:
        table.add_column("whole search", justify="right", overflow="fold")
    for measure in evaluation.measures:
        best = max(stage.means[measure] for stage in stages)
        values = (stage.means[measure] for stage in stages)
        table.add_row(measure, *(Text(f"{v:.4f}", "bold" if v == best else "") for v in values))
    if evaluation.total_ms:
        times = [*(stage.ms for stage in stages), evaluation.total_ms]
        spreads = [latency(ms) if ms else None for ms in times]
        table.add_row("ms, p50", *(f"{spread.p50:.1f}" if spread else "" for spread in spreads))
        table.add_row("ms, p95", *(f"{spread.p95:.1f}" if spread else "" for spread in spreads))
    return table


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Lay out a row for each stage and measure compared with the baseline."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage", overflow="fold")
    table.add_column("measure", overflow="fold")
    for name in (f"less {comparisons[0].baseline}", "better", "equal", "worse", "p"):
        table.add_column(name, justify="right", overflow="fold")
    stage = ""
    for row in comparisons:
        table.add_row(
            row.stage if row.stage != stage else "",
            row.measure,
            Text(f"{signed(row.delta)} {MARKS[tone(row)]}", style=_STYLES[tone(row)]),
            f"{row.wins:,}",
            f"{row.ties:,}",
            f"{row.losses:,}",
            p_value(row.p_holm).removeprefix("= "),
        )
        stage = row.stage
    return table
