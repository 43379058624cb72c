"""Reading what a model writes: the answer after its thoughts, an order of documents, a choice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from retrieve_rerank.text.language import SPACELESS

_LETTER = rf"[^\W{SPACELESS}]"
"""What a name cannot be followed by, or follow: where words stand without spaces, it can."""


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
    answer = without_thoughts(answer)
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


def read_choice(answer: str, choices: Sequence[str]) -> int | None:
    """Read which of the choices ("Passage A", "Passage B", …) an answer gives; None if no one's.

    It may have other words around it, and be shortened to its last word ("B") without any.
    """
    answer = without_thoughts(answer).lower()
    numbers = {choice.strip().lower(): number for number, choice in enumerate(choices)}
    longest_first = "|".join(map(re.escape, sorted(numbers, key=len, reverse=True)))
    given = set(re.findall(rf"(?<!{_LETTER})(?:{longest_first})(?!{_LETTER})", answer))
    if not given:
        bare = re.sub(r"\W", "", answer)
        given = {choice for choice in numbers if choice.split()[-1] == bare}
    return numbers[given.pop()] if len(given) == 1 else None


def without_thoughts(answer: str) -> str:
    """Return what a model that reasons says after its thoughts: nothing where they were cut off."""
    return answer.rpartition("</think>")[2].partition("<think>")[0]
