"""Reading what a model writes when it is asked to compare documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_THOUGHTS = "</think>"
"""What models that reason put between their thoughts and their answer."""


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
    answer = _without_thoughts(answer)
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
    answer = _without_thoughts(answer).strip()
    given = {
        number
        for number, choice in enumerate(choices)
        if re.search(rf"(?<!\w){re.escape(choice.strip())}(?!\w)", answer, re.IGNORECASE)
    }
    if not given:
        bare = re.sub(r"\W", "", answer).lower()
        given = {n for n, choice in enumerate(choices) if choice.split()[-1].lower() == bare}
    return given.pop() if len(given) == 1 else None


def _without_thoughts(answer: str) -> str:
    return answer.rpartition(_THOUGHTS)[2]
