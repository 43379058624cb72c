"""What held-out queries say of a trained model, for people at a terminal."""

from __future__ import annotations

from itertools import zip_longest
from textwrap import shorten

from rich.table import Table

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.terminal import wide_console, write
from retrieve_rerank.evaluation.report.findings import p_value, signed
from retrieve_rerank.training.finetuning import Proof
from retrieve_rerank.training.finetuning.proof import MEASURES, RETUNED
from retrieve_rerank.training.gate import Verdict
from retrieve_rerank.training.held_out import Example
from retrieve_rerank.training.held_out import Place as Placed
from retrieve_rerank.training.tuning import PRIMARY

_EXCERPT = 120  # characters of a text


def print_proof(proof: Proof) -> None:
    """Show the pipelines side by side, the protected slices, and what gained and lost most."""
    console = wide_console()
    console.print(_systems(proof))
    write(f"gain: of {PRIMARY} over {RETUNED}, whose depth and weight suit the same dev queries\n")
    _slices(console, proof.verdict)
    for title, found in zip(("Gained most", "Lost most"), proof.held_out.examples(), strict=True):
        for each in found[:1]:
            console.print(_example(title, each))
            write("")


def _systems(proof: Proof) -> Table:
    held_out = proof.held_out
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"{proof.verdict.queries:,} held-out queries", overflow="fold")
    for name in (*MEASURES, "ms, p95", "gain", "95 % interval", "p"):
        table.add_column(name, justify="right", overflow="fold")
    for row, system in zip(held_out.rows(), held_out.systems, strict=True):
        gain, interval, p = "", "", ""
        if row.gain is not None and row.low is not None and row.high is not None:
            gain = signed(row.gain)
            interval = f"{signed(row.low)} to {signed(row.high)}"
            p = p_value(row.p).removeprefix("= ") if row.p is not None else ""
        ms = proof.p95_ms.get(system.name)
        table.add_row(
            system.name,
            *(f"{system.means[name]:.4f}" for name in MEASURES),
            f"{ms:.0f}" if ms is not None else "",
            gain,
            interval,
            p,
            style="bold" if system is held_out.trained else "",
        )
    least = f"{proof.verdict.least_detectable:.4f}"
    table.add_row("least detectable gain", *[""] * (len(MEASURES) + 1), least)
    return table


def _example(title: str, example: Example) -> Table:
    change = example.change
    table = Table(title=f"{title}: “{change.text}”", title_justify="left", box=None, pad_edge=False)
    table.add_column(f"before: {PRIMARY} {change.before:.2f}", ratio=1, overflow="fold")
    table.add_column(f"after: {change.after:.2f}", ratio=1, overflow="fold")
    for pair in zip_longest(example.before, example.after):
        table.add_row(*(_hit(each) if each else "" for each in pair))
    return table


def _hit(hit: Placed) -> str:
    return ("✓ " if hit.relevant else "") + shorten(hit.text, _EXCERPT, placeholder=" …")


def _slices(console: Console, verdict: Verdict) -> None:
    if not verdict.slices:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("queries that are", overflow="fold")
    for name in ("", "before", "after", "gain", "95 % interval", "a great loss"):
        table.add_column(name, justify="right", overflow="fold")
    for each in verdict.slices:
        kept = {None: "too few to tell", True: "ruled out", False: "not ruled out"}[each.kept]
        interval = f"{signed(each.low)} to {signed(each.high)}"
        values = (f"{each.before:.4f}", f"{each.after:.4f}", signed(each.gain), interval)
        table.add_row(each.name, f"{each.queries:,}", *values, kept)
    console.print(table)
    write("")
