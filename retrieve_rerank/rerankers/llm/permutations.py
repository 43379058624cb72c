"""Ranking many documents by answers that order a few: windows, and the reading of answers.

W. Sun et al.: Is ChatGPT Good at Search?, https://arxiv.org/abs/2304.09542 (RankGPT). Knows
nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_THOUGHTS = "</think>"
"""What models that reason put between their thoughts and their answer."""


def windows(count: int, *, size: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut `count` ranks into overlapping windows [start, end), from the bottom to the top.

    The last one starts at the top, however the numbers fall.
    """
    end = count
    while end > 0:
        start = max(0, end - size)
        yield start, end
        if start == 0:
            return
        end -= step


class Order(NamedTuple):
    """What was read of an answer."""

    positions: list[int]
    """All of the documents, each once, from 0."""
    missing: int = 0
    """Documents that the answer does not name; they follow in their order."""
    repeated: int = 0
    """Names that it has given before, and which are not read."""
    unknown: int = 0
    """Names that no document has."""


def read_order(answer: str, names: Sequence[str]) -> Order:
    """Read an answer like `[2] > [1] > [3]` that orders the documents so named.

    Names count whole, so that [11] is never 1. Without brackets an answer is read where it is
    nothing but names, like "2, 1, 3": other words, a refusal's perhaps, may hold numbers too.
    Thoughts before the answer are not read.
    """
    answer = answer.rpartition(_THOUGHTS)[2]
    name = r"[0-9]+" if names[0].isdecimal() else r"[A-Z]"
    found = re.findall(rf"\[\s*({name})\s*\]", answer)
    if not found and re.fullmatch(rf"(?:\W*{name}(?!\w))+\W*", answer):
        found = re.findall(name, answer)
    positions = [names.index(name) for name in found if name in names]
    ordered = list(dict.fromkeys(positions))
    left = [position for position in range(len(names)) if position not in ordered]
    return Order(
        [*ordered, *left],
        missing=len(left),
        repeated=len(positions) - len(ordered),
        unknown=len(found) - len(positions),
    )
