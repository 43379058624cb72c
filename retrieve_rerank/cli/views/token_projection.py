"""The training of a token projection for people at a terminal: its rounds, and the proof."""

from __future__ import annotations

from rich.table import Table

from retrieve_rerank.cli.views.terminal import say, wide_console, write
from retrieve_rerank.cli.views.watching import TerminalWatch
from retrieve_rerank.training.token_projection import Epoch, TrainedProjection
from retrieve_rerank.training.token_projection.keeping import KeptModel

_MEBI = 1 << 20


class Terminal(TerminalWatch):
    """Show a run as it goes; with `quiet` nothing."""

    def tell(self, told: object) -> None:
        """Print a round."""
        if isinstance(told, Epoch) and not self._quiet:
            what = f"round {told.number}: loss {told.loss:.4f}" if told.number else "principal axes"
            say(f"{what}, dev nDCG@10 {told.measure:.4f}")


def print_trained(
    trained: TrainedProjection, *, index: str, generated: bool, refreshes: bool
) -> None:
    """Print the table of the held-out queries, the verdict, and what to do with it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("dimensions of a token")
    for title in ("", "nDCG@10", "bytes a document", "of a passage of 120 tokens"):
        table.add_column(title, justify="right" if title else "left")
    for system in trained.verdict["systems"]:
        table.add_row(
            f"{system['dimensions']:,}",
            system["name"],
            f"{system['mean']:.4f}",
            f"{system['document_bytes']:,.0f}",
            f"{system['passage_bytes']:,}",
        )
    wide_console().print(table)
    write(f"\n{trained.verdict['sentence'][0].upper()}{trained.verdict['sentence'][1:]}.")
    axes = trained.verdict["against_axes"]
    write(
        f"Against the principal axes: {axes['gain']:+.4f}, {axes['low']:+.4f} to "
        f"{axes['high']:+.4f}.".replace("-", "−")
    )
    say_what_to_do(
        trained,
        index=index,
        generated=generated,
        refreshes=refreshes,
        neither="Judge more queries, or give it to the index all the same",
        worse="Try more --dimensions. It can be given to the index all the same",
    )
    say_kept_tokens(trained.cache_bytes)


def say_what_to_do(
    trained: KeptModel,
    *,
    index: str,
    generated: bool,
    refreshes: bool,
    neither: str,
    worse: str,
) -> None:
    """Print what it is kept as and how the index gets it, with advice where it is not accepted."""
    if generated:
        write(
            "The queries were made from the documents, and what is better on them may be worse on "
            "people's. Judge some of those, and give them as --data."
        )
    if refreshes:
        write(f"It is kept as {trained.address}, and given to the index.")
        return
    accepted = None if generated and trained.accepted else trained.accepted
    advice = {True: "Give it to the index", None: neither, False: worse}[accepted]
    write(
        f"It is kept as {trained.address}. {advice}:"
        f"\n  rr tensors refresh --index {index} --model {trained.address}"
    )


def say_kept_tokens(cache_bytes: int) -> None:
    """Tell of the token vectors that are kept on the disk."""
    say(
        f"Note: token vectors are kept for the next training, {cache_bytes / _MEBI:,.0f} "
        "MiB, in finetune/ of the data directory; they may be deleted"
    )
