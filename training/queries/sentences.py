"""A text's lines and sentences, as pieces of it that can be cut out again."""

from __future__ import annotations

import re

_END = re.compile(
    r"(?<=[。！？；])(?![”」』）])|(?<=[。！？][”」』）])"  # written without a space after it
    r"|(?<=[.!?])\s+(?=[\"'“(\[]?[^\W_a-z])|(?<=[.!?][\"'”)\]])\s+(?=[\"'“(\[]?[^\W_a-z])"
)
_NO_END = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|al|approx|ca|no|fig|figs|eq|ref|refs|sec|dr|mr|mrs|ms|prof|st|inc"
    r"|ltd|jr|sr|vol|pp|dept)|\b[^\W\d_]|^\s*\d{1,3})\.$",
    re.IGNORECASE,
)
"""Full stops of abbreviations, initials and numbers of a list."""


def lines(text: str) -> list[str]:
    """Return the lines that are not blank, without white space around them."""
    return [stripped for line in text.splitlines() if (stripped := line.strip())]


def sentences(text: str) -> list[str]:
    """Cut a text into sentences; none goes over the end of a line.

    After a full stop, a capital, a digit or a script without cases tells that one begins.
    """
    found: list[str] = []
    for line in lines(text):
        begun = ""
        for piece, after in _pieces(line):
            begun += piece
            if not _NO_END.search(begun):
                found.append(begun)
                begun = ""
            else:
                begun += after
        if begun.strip():
            found.append(begun.strip())
    return found


def _pieces(line: str) -> list[tuple[str, str]]:
    """Return what stands between ends of sentences, each with the white space after it."""
    pieces, start = [], 0
    for end in _END.finditer(line):
        if end.start() > start:
            pieces.append((line[start : end.start()], end[0]))
        start = end.end()
    if start < len(line):
        pieces.append((line[start:], ""))
    return pieces
