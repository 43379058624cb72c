"""The training of an encoder for MaxSim for people at a terminal: plan, curve, and the proof."""

from __future__ import annotations

from rich.table import Table

from retrieve_rerank.cli.views.mining import print_report
from retrieve_rerank.cli.views.progress import duration
from retrieve_rerank.cli.views.terminal import say, wide_console, write
from retrieve_rerank.cli.views.token_projection import say_kept_tokens, say_what_to_do
from retrieve_rerank.cli.views.watching import TerminalWatch
from retrieve_rerank.training.mining import Mined
from retrieve_rerank.training.token_encoder import Plan, TrainedEncoder
from retrieve_rerank.training.trainers import Progress


class Terminal(TerminalWatch):
    """Show a run as it goes; with `quiet` nothing."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._measured: float | None = None

    def tell(self, told: object) -> None:
        """Print the plan, what was mined, and each look at the dev queries."""
        if self._quiet:
            return
        if isinstance(told, Plan):
            say(
                f"{told.steps:,} steps of {told.batch_size} queries, {told.rounds:.1f} rounds of"
                f" {told.mined_queries:,}, at {told.queries_per_s:.1f} queries/s: about"
                f" {duration(told.total_s)} in all"
            )
        elif isinstance(told, Mined):
            print_report(wide_console(), told, veto=None)
        elif isinstance(told, Progress) and told.measure not in (None, self._measured):
            self._measured = told.measure
            say(f"step {told.step:,}: loss {told.loss:.3f}, dev nDCG@10 {told.measure:.4f}")


def print_trained(trained: TrainedEncoder, *, index: str, generated: bool, refreshes: bool) -> None:
    """Print the table of the held-out queries, the verdict, and what to do with it."""
    today, after = trained.verdict["systems"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for title in ("nDCG@10", "dimensions", "bytes a document", "of a passage of 120 tokens"):
        table.add_column(title, justify="right")
    first = list(today["first_stage"].values())
    table.add_row("first stage", f"{sum(first) / len(first):.4f}")
    for system in (today, after):
        table.add_row(
            system["name"],
            f"{system['mean']:.4f}",
            f"{system['dimensions']:,}",
            f"{system['document_bytes']:,.0f}",
            f"{system['passage_bytes']:,}",
        )
    wide_console().print(table)
    write(f"\n{trained.verdict['sentence'][0].upper()}{trained.verdict['sentence'][1:]}.")
    for note in trained.notes:
        say(f"Note: {note}")
    say_what_to_do(
        trained,
        index=index,
        generated=generated,
        refreshes=refreshes,
        neither="Judge more queries, give it more --minutes, or give it to the index all the same",
        worse="Try another --learning-rate. It can be given to the index all the same",
    )
    say_kept_tokens(trained.cache_bytes)
