"""How far indexing has come: a bar on a terminal, a line now and then in a log.

Knows nothing of indexes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 10.0
"""Seconds between two lines in a log."""


class Measured(Protocol):
    """What is being read; `size` is 0 where it is not known."""

    size: int

    @property
    def position(self) -> int:
        """How much of the size has been read."""


@contextmanager
def show_progress(source: Measured, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Give a function to call with each further number of documents; show them on stderr."""
    if quiet:
        yield lambda count: None
    elif sys.stderr.isatty():
        yield from _bar(source)
    else:
        yield _Lines(source)


@contextmanager
def show_wait(what: str, *, quiet: bool) -> Iterator[None]:
    """Show that something of unknown length goes on."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(what):
        yield


def _bar(source: Measured) -> Iterator[Callable[[int], None]]:
    started, done = time.monotonic(), 0
    columns = (
        TextColumn("indexing"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[documents]:,} documents  {task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=source.size or None, documents=0, rate=0.0)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - started, 1e-3)
            bar.update(task, completed=source.position, documents=done, rate=rate)

        yield advance


class _Lines:
    """Writes a line at most every LINE_EVERY_S seconds."""

    def __init__(self, source: Measured) -> None:
        self._source = source
        self._started = self._last = time.monotonic()
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < LINE_EVERY_S:
            return
        self._last = now
        elapsed = now - self._started
        line = f"{self._done:,} documents, {self._done / elapsed:,.0f}/s"
        if self._source.size and self._source.position:
            share = self._source.position / self._source.size
            line += f", {share:.0%} read, about {elapsed / share - elapsed:,.0f} s left"
        click.echo(line, err=True)
