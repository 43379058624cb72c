"""A long training run for people at a terminal: bars, and what is waited for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from retrieve_rerank.cli.views.progress import share_of, show_progress, show_wait
from retrieve_rerank.training.finetuning import Watch


class TerminalWatch(Watch):
    """Show how far a run is; with `quiet` nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def progress(
        self, doing: str, total: int, things: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar, or lines in a log."""
        return show_progress(share_of(total), doing=doing, quiet=self._quiet, things=things)

    def wait(self, what: str) -> AbstractContextManager[None]:
        """Show that something goes on."""
        return show_wait(what, quiet=self._quiet)
