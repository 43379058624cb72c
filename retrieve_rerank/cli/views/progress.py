"""How far work on many things has come: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.types import Document

LINE_EVERY_S = 10.0
"""Seconds between two lines in a log."""


class CountedDocuments:
    """Documents on their way into an index, counted as they are drawn.

    They are drawn in batches, well before they are done with; hence the share that is done is
    that of the sources which has been read, less what is still on its way.
    """

    def __init__(self, documents: Iterable[Document], corpus: Corpus) -> None:
        self._documents = documents
        self._corpus = corpus
        self._drawn = 0

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            self._drawn += 1
            yield document

    def share(self, done: int) -> float | None:
        """Tell which share of all documents `done` are; None where the sources have no size."""
        if not self._corpus.size or not self._drawn:
            return None
        return self._corpus.position / self._corpus.size * done / self._drawn


Share = Callable[[int], float | None]
"""Tells which share of all there are so many are; None where that is not known."""


def share_of(total: int) -> Share:
    """Measure against a number that is known, or about: what is beyond it is all of it."""
    return lambda done: min(1.0, done / total) if total else None


def duration(seconds: float) -> str:
    """Say how long something takes, as exactly as a person cares."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def rate(count: int, seconds: float) -> str:
    """Say how many things a second that is, or a minute where they take longer."""
    per_s = count / max(seconds, 1e-3)
    if 0 < per_s < 1:
        return f"{60 * per_s:.1f}/min"
    return f"{per_s:.1f}/s" if 0 < per_s < 10 else f"{per_s:,.0f}/s"


@contextmanager
def show_progress(
    share: Share, *, doing: str, quiet: bool, things: str = "documents"
) -> Iterator[Callable[[int], None]]:
    """Give a function to call with each further number of things; show them on stderr."""
    if quiet:
        yield lambda count: None
    elif sys.stderr.isatty():
        yield from _bar(share, doing)
    else:
        lines = _Lines(share, things)
        yield lines
        lines.end()


@contextmanager
def show_wait(what: str, *, quiet: bool) -> Iterator[None]:
    """Show that something of unknown length goes on."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(Text(what)):
        yield


def _bar(share_of_all: Share, doing: str) -> Iterator[Callable[[int], None]]:
    started, done = time.monotonic(), 0
    columns = (
        TextColumn(doing),
        BarColumn(bar_width=None),  # what the width of the terminal leaves
        TaskProgressColumn(),
        TextColumn("{task.fields[things]:,} at {task.fields[rate]},"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, things=0, rate=rate(0, 1))

        def advance(count: int) -> None:
            nonlocal done
            done += count
            shown = rate(done, time.monotonic() - started)
            share = share_of_all(done)
            total = None if share is None else 1.0
            bar.update(task, total=total, completed=share or 0.0, things=done, rate=shown)

        yield advance


class _Lines:
    """Writes a line at most every LINE_EVERY_S seconds, and a last one when all is done."""

    def __init__(self, share: Share, things: str) -> None:
        self._share = share
        self._things = things
        self._started = self._last = time.monotonic()
        self._done = self._told = 0

    def __call__(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < LINE_EVERY_S:
            return
        self._last, self._told = now, self._done
        elapsed = now - self._started
        line = f"{self._done:,} {self._things}, {rate(self._done, elapsed)}"
        share = self._share(self._done)
        if share:
            line += f", {share:.0%}, about {duration(elapsed / share - elapsed)} left"
        click.echo(line, err=True)

    def end(self) -> None:
        """Count all of them, where the last line that was written does not."""
        if 0 < self._told < self._done:
            elapsed = time.monotonic() - self._started
            click.echo(f"{self._done:,} {self._things} in {duration(elapsed)}", err=True)
