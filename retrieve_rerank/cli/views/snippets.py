"""The part of a text that answers a query, its matching words marked.

Words match by their stems, as they do for BM25; scripts without spaces by pairs of characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from retrieve_rerank.connectors.analysis import HAS_SPACELESS, analyse
from retrieve_rerank.text.language import WORD

MAX_CHARACTERS = 100_000
"""Of a longer text only the beginning is looked at."""

_LEAD = 40
"""Characters shown before the first match."""


class Piece(NamedTuple):
    """Part of a snippet; `marked` where it matches the query."""

    text: str
    marked: bool


class _Match(NamedTuple):
    start: int
    end: int
    what: frozenset[str] | frozenset[int]


def snippet(text: str, query: str, *, language: str, width: int) -> list[Piece]:
    """Cut out the `width` characters that hold most of what the query asks for."""
    text = " ".join(text[:MAX_CHARACTERS].split())
    matches = list(_matches(text, query, language))
    start = _at_word(text, max(0, min(_best_start(matches, width), len(text) - width)))
    end = start + width
    if end < len(text):
        space = text.rfind(" ", max(start, end - _LEAD), end + 1)
        end = space if space > start else end
    pieces = [Piece("… " if start else "", False)]
    at = start
    for match in matches:
        if at <= match.start and match.end <= end:
            pieces.append(Piece(text[at : match.start], False))
            pieces.append(Piece(text[match.start : match.end], True))
            at = match.end
    pieces.append(Piece(text[at:end], False))
    pieces.append(Piece(" …" if end < len(text) else "", False))
    return [piece for piece in pieces if piece.text]


def _best_start(matches: list[_Match], width: int) -> int:
    """Where the window begins that holds most different matches, the first of equals."""
    best, best_start = 0, 0
    for number, first in enumerate(matches):
        end = first.start - _LEAD + width
        found: set[str | int] = set()
        for match in matches[number:]:
            if match.end > end:
                break
            found |= match.what
        if len(found) > best:
            best, best_start = len(found), first.start - _LEAD
    return best_start


def _at_word(text: str, start: int) -> int:
    """Move to the beginning of the next word, where one is near."""
    space = text.find(" ", start, start + _LEAD) if start else -1
    return space + 1 if space >= 0 else start


def _matches(text: str, query: str, language: str) -> Iterator[_Match]:
    wanted = frozenset(analyse(query, language).wanted)

    @cache
    def found(word: str) -> frozenset[int]:
        return wanted.intersection(analyse(word, language).wanted)

    wanted_pairs, wanted_characters = _spaceless(query)
    for word in WORD.finditer(text):
        if not HAS_SPACELESS.search(word[0]):
            if found(word[0]):
                yield _Match(word.start(), word.end(), found(word[0]))
            continue
        marked: dict[int, set[str]] = {}
        for place, pair in enumerate(map("".join, pairwise(word[0]))):
            if pair in wanted_pairs:
                marked.setdefault(place, set()).add(pair)
                marked.setdefault(place + 1, set()).add(pair)
        for place, character in enumerate(word[0]):
            if character in wanted_characters:
                marked.setdefault(place, set()).add(character)
        for place in sorted(marked):
            at = word.start() + place
            yield _Match(at, at + 1, frozenset(marked[place]))


def _spaceless(query: str) -> tuple[set[str], set[str]]:
    """Pairs of neighbours in the query's runs without spaces; characters that stand alone."""
    runs = [word[0] for word in WORD.finditer(query) if HAS_SPACELESS.search(word[0])]
    return {a + b for run in runs for a, b in pairwise(run)}, {run for run in runs if len(run) == 1}
