"""Lines that fit the terminal: broken at words where a person reads, whole where a program does.

The one place that makes foreign text harmless: nothing that a document, a server or a file's name
says can command the terminal.

Tables are rich's; loading that takes a tenth of a second.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from retrieve_rerank.text.template import readable

if TYPE_CHECKING:
    from retrieve_rerank.cli.views.console import Console

WIDE = 160
"""Columns of a table that goes into a file or a pipe, so that nothing is folded there."""

_LONGEST_TITLE = 22

# Commands of a terminal begin with one of these; white space is among them.
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20)}  # their pictures: ␛
_CONTROLS |= {0x7F: "␡", **dict.fromkeys(range(0x80, 0xA0), "\ufffd")}
_CONTROLS |= dict.fromkeys(map(ord, "\t\n\v\f\r\x85\u2028\u2029"), " ")
_CONTROLS_BUT_LINES = {code: shown for code, shown in _CONTROLS.items() if code != ord("\n")}


def printable(text: str, *, lines: bool = False) -> str:
    """Show control characters by pictures of them; with `lines` the ends of lines stay."""
    return readable(text).translate(_CONTROLS_BUT_LINES if lines else _CONTROLS)


def write(text: str) -> None:
    """Write lines to standard output."""
    click.echo(printable(text, lines=True))


def say(message: str) -> None:
    """Write a message to standard error, for a person there in lines that fit."""
    message = printable(message, lines=True)
    click.echo(fitted(message) if sys.stderr.isatty() else message, err=True)


def fitted(text: str, *, indent: int = 0, begins: int = 0) -> str:
    """Break a text at words into lines that fit the terminal.

    All lines but the first are indented; the first follows `begins` characters that are there.
    A longer word, such as a path, is left to the terminal: so it can be copied.
    """
    lines = textwrap.wrap(
        f"{'.' * begins}{text}",
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)[begins:]


def write_rows(rows: Iterable[tuple[str, object]]) -> None:
    """Write titles with their values to standard output, the values one below the other."""
    texts = [(printable(title), printable(str(value))) for title, value in rows]
    titles = (len(title) for title, _ in texts)
    column = max((each for each in titles if each <= _LONGEST_TITLE), default=0) + 2
    for title, value in texts:
        write_beside(f"{title:<{column - 2}}  ", value, indent=column)


def write_beside(begin: str, text: str, *, indent: int) -> None:
    """Write a text to standard output after what its first line begins with."""
    begin, text = printable(begin), printable(text)
    text = fitted(text, indent=indent, begins=len(begin)) if sys.stdout.isatty() else text
    click.echo(f"{begin}{text}")


def wide_console() -> Console:
    """Make a console for tables of many columns: as wide as the terminal, or WIDE for a file."""
    from retrieve_rerank.cli.views.console import Console

    terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if terminal else WIDE)
