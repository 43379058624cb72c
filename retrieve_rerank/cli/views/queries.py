"""What an index's documents gave as queries, for people at a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.errors import shown
from retrieve_rerank.training.queries import Generated

_EXAMPLES = 3


def print_yields(console: Console, generated: Generated) -> None:
    """Print each source's yield, and examples of what was kept and of what did not find back."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("source", no_wrap=True)
    for name in ("proposed", "say nothing", "duplicates", "searched", "not found back", "kept"):
        table.add_column(name, justify="right")
    for source, its in generated.yields.items():
        counts = (
            its.proposed,
            its.says_nothing,
            its.duplicates,
            its.tried,
            its.not_returned,
            its.kept,
        )
        table.add_row(source, *(f"{count:,}" for count in counts))
    console.print(table)
    for source, its in generated.yields.items():
        for what, examples in (("kept", its.examples), ("not found back", its.lost)):
            for query, document in examples[:_EXAMPLES]:
                console.print(
                    Text.assemble((f"{source}, {what}: ", "dim"), f"{shown(query)} ({document})"),
                    soft_wrap=True,
                )
    console.print()
    sizes = ", ".join(f"{count:,} {split}" for split, count in generated.split_sizes.items())
    console.print(
        f"{len(generated.queries):,} queries from {generated.documents:,} documents: {sizes};"
        f" {len(generated.cuts.whole):,} of train keep their span.",
        soft_wrap=True,
    )
