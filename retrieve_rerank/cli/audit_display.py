"""An audit for people at a terminal.

Knows nothing of where an audit came from.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retrieve_rerank.evaluation.audit import Audit
from retrieve_rerank.evaluation.audit_findings import advice, findings
from retrieve_rerank.evaluation.relevance import Relevance


def print_audit(console: Console, audit: Audit, *, name: str) -> None:
    """Print every setting, what judgments say, and in words what it means; `name` in rr.toml."""
    console.print(settings_table(audit))
    if audit.relevance is not None:
        console.print()
        console.print(relevance_table(audit.relevance))
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


def settings_table(audit: Audit) -> Table:
    """Lay out a row for each depth and setting."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("top k", justify="right")
    for knob in audit.knobs:
        table.add_column(knob.name, justify="right")
    for title in ("recall", "95 % interval", "graph loss", "quant. loss", "p50 ms", "p95 ms"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for top_k in audit.top_ks:
        cheapest = audit.cheapest(top_k)
        for each in audit.at(top_k):
            marks = ["now"] * each.default + ["chosen"] * (each is cheapest)
            table.add_row(
                str(top_k),
                *(
                    f"{each.settings[knob.name]:g}" if knob.name in each.settings else "server's"
                    for knob in audit.knobs
                ),
                Text(
                    f"{each.recall:.4f}", "green" if each.recall >= audit.target_recall else "red"
                ),
                f"{each.low:.4f}–{each.high:.4f}",
                f"{each.graph_loss:.4f}",
                f"{each.quantisation_loss:.4f}",
                f"{each.ms.p50:.2f}",
                f"{each.ms.p95:.2f}",
                ", ".join(marks),
            )
        table.add_section()
    return table


def relevance_table(found: Relevance) -> Table:
    """Lay out what exact search, and the search as it is set now, find of what is relevant."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(f"{found.queries:,} judged queries")
    table.add_column("exact", justify="right")
    table.add_column("now", justify="right")
    for depth, share in found.found.items():
        now = found.found_approximate.get(depth)
        table.add_row(
            f"relevant among the first {depth:,}",
            f"{share:.1%}",
            "" if now is None else f"{now:.1%}",
        )
    table.add_row("nDCG@10", f"{found.ndcg_exact:.4f}", f"{found.ndcg_approximate:.4f}")
    return table
