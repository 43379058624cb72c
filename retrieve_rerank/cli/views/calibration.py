"""A calibration for people at a terminal: the reliability diagram, and the error."""

from __future__ import annotations

from rich.table import Table

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.evaluation.calibration.calibrating import CalibrationReport, Reliability

_BAR = 30  # columns of a bar that stands for all documents, where there is room
_REST = 47  # columns of the numbers beside it
_MARK = "│"


def print_report(report: CalibrationReport) -> None:
    """Print what the calibration does to the queries that it was not fitted on."""
    console = Console()
    (fitted, held_out), (first, second) = report.queries, report.documents
    console.print(
        f"Fitted on {first:,} documents of {fitted:,} queries ({report.relevant[0]:,} relevant);"
        f" shown for {second:,} of {held_out:,} others ({report.relevant[1]:,} relevant)."
    )
    for name, measured in (("Before", report.before), ("After", report.after)):
        console.print()
        console.print(reliability_table(name, measured, width=console.width))
    console.print()
    console.print(
        f"Expected calibration error: {report.before.error:.4f} before,"
        f" {report.after.error:.4f} after."
    )


def reliability_table(name: str, measured: Reliability, *, width: int) -> Table:
    """Lay out a row for each bin: a bar as long as its share, and a mark where it should end.

    Where `width` leaves no room for bars, the numbers stand alone.
    """
    longest = min(_BAR, width - _REST)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in (name, "documents", "probability", "relevant"):
        table.add_column(column, justify="left" if column == name else "right", overflow="fold")
    if longest > 0:
        table.add_column(f"█ relevant, {_MARK} probability", min_width=longest + 1)
    for each in measured.bins:
        numbers = (
            f"{each.low:.1f} to {each.high:.1f}",
            f"{each.documents:,}",
            f"{each.predicted:.3f}",
            f"{each.observed:.3f}",
        )
        bar = [_bar(each.observed, each.predicted, longest)] if longest > 0 else []
        table.add_row(*numbers, *bar)
    return table


def _bar(observed: float, predicted: float, longest: int) -> str:
    bar = list(("█" * round(observed * longest)).ljust(longest + 1))
    bar[round(predicted * longest)] = _MARK
    return "".join(bar)
