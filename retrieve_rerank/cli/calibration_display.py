"""A calibration for people at a terminal: the reliability diagram, and the error.

Knows nothing of how it was fitted.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from retrieve_rerank.evaluation.calibrating import CalibrationReport, Reliability

_WIDTH = 30  # columns of a bar that stands for all documents
_MARK = "│"


def print_report(report: CalibrationReport) -> None:
    """Print what the calibration does to the queries that it was not fitted on."""
    console = Console(highlight=False)
    (fitted, held_out), (first, second) = report.queries, report.documents
    console.print(
        f"Fitted on {first:,} documents of {fitted:,} queries ({report.relevant[0]:,} relevant);"
        f" shown for {second:,} of {held_out:,} others ({report.relevant[1]:,} relevant)."
    )
    for name, measured in (("Before", report.before), ("After", report.after)):
        console.print()
        console.print(reliability_table(name, measured))
    console.print()
    console.print(
        f"Expected calibration error: {report.before.error:.4f} before,"
        f" {report.after.error:.4f} after."
    )


def reliability_table(name: str, measured: Reliability) -> Table:
    """Lay out a row for each bin: a bar as long as its share, and a mark where it should end."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(name, no_wrap=True)
    for column in ("documents", "probability", "relevant"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column(f"█ relevant, {_MARK} probability", no_wrap=True)
    for each in measured.bins:
        table.add_row(
            f"{each.low:.1f} to {each.high:.1f}",
            f"{each.documents:,}",
            f"{each.predicted:.3f}",
            f"{each.observed:.3f}",
            _bar(each.observed, each.predicted),
        )
    return table


def _bar(observed: float, predicted: float) -> str:
    bar = list(("█" * round(observed * _WIDTH)).ljust(_WIDTH + 1))
    bar[round(predicted * _WIDTH)] = _MARK
    return "".join(bar)
