"""An audit for people at a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.evaluation.audit.audit import Audit
from retrieve_rerank.evaluation.audit.findings import advice, findings, knob_value, unmeasured
from retrieve_rerank.evaluation.audit.relevance import Relevance

_ROOM = 80  # columns in which the table of settings stands without folding a number


def print_audit(console: Console, audit: Audit, *, name: str) -> None:
    """Print every setting, what judgments say, and in words what it means; `name` in rr.toml."""
    if audit.knobs:
        console.print(settings_table(audit, fold=console.width < _ROOM))
    if audit.relevance is not None:
        console.print()
        console.print(relevance_table(audit.relevance))
        if note := unmeasured(audit):
            console.print(note)
    for finding in findings(audit):
        console.print()
        console.print(finding)
    changes = advice(audit)
    if changes is not None:
        lines = [f"[indexes.{name}]", *(f"{knob} = {value:g}" for knob, value in changes.items())]
        console.print()
        console.print("In rr.toml:")
        for line in lines:
            console.print(Text(f"  {line}"))


def settings_table(audit: Audit, *, fold: bool = False) -> Table:
    """Lay out a row for each depth and setting; with `fold` numbers may take two lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))

    def add_numbers(title: str) -> None:
        table.add_column(title, justify="right", no_wrap=not fold, overflow="fold")

    add_numbers("top\nk")
    for knob in audit.knobs:
        add_numbers(knob.name.replace("_", "_\n"))
    for title in ("recall", "95 %\ninterval", "graph\nloss", "quant.\nloss", "p50\nms", "p95\nms"):
        add_numbers(title)
    table.add_column("", overflow="fold")
    for top_k in audit.top_ks:
        cheapest = audit.cheapest(top_k)
        for each in audit.at(top_k):
            marks = ["now"] * each.default + ["chosen"] * (each is cheapest)
            table.add_row(
                str(top_k),
                *(knob_value(knob, each) for knob in audit.knobs),
                Text(
                    f"{each.recall:.4f}", "green" if each.recall >= audit.target_recall else "red"
                ),
                f"{each.low:.4f}–{each.high:.4f}",
                f"{each.graph_loss:.4f}",
                f"{each.quantisation_loss:.4f}",
                milliseconds(each.ms.p50),
                milliseconds(each.ms.p95),
                ", ".join(marks),
            )
        table.add_section()
    return table


def relevance_table(found: Relevance) -> Table:
    """Lay out what exact search, and the search as it is set now, find of what is relevant."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(f"{found.queries:,} judged queries", overflow="fold")
    table.add_column("exact", justify="right", overflow="fold")
    table.add_column("now", justify="right", overflow="fold")
    for depth, share in found.found.items():
        now = found.found_approximate.get(depth)
        table.add_row(
            f"relevant among the first {depth:,}",
            f"{share:.1%}",
            "–" if now is None else f"{now:.1%}",
        )
    table.add_row(
        f"nDCG@10 of {found.hits:,} hits",
        f"{found.ndcg_exact:.4f}",
        f"{found.ndcg_approximate:.4f}",
    )
    return table


def milliseconds(ms: float) -> str:
    """Write a time in at most five characters up to ten seconds."""
    return f"{ms:.2f}" if ms < 100 else f"{ms:,.0f}"
