"""Wrong settings in words: what was expected, and what came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

_SHOWN = ("top_k", "candidates", "deadline_s", "data_dir", "stages")
"""Settings whose values an error may tell: others can hold a password."""


def explain(error: ErrorDetails, *, known: Iterable[str]) -> str:
    """Say what is wrong with one setting; `known` are the names that could stand there."""
    place = error["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)[1:]
    if error["type"] == "extra_forbidden":
        return f"unknown key {key}{suggest(str(place[-1]), known)}"
    return f"{key}: {expected(error)}{_got(place, error['input'])}"


def expected(error: ErrorDetails) -> str:
    """Say what was expected, in our words."""
    message = error["msg"].replace("Input should be a", "expected a")
    return message.replace("Input should be", "expected a value")


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names is close to a wrong one; empty where none is."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _got(place: tuple[int | str, ...], value: Any) -> str:
    if place[0] not in _SHOWN:
        return ""
    if isinstance(value, Mapping):
        return f"; got a table with {', '.join(map(str, value)) or 'nothing in it'}"
    whole_stage = place[0] == "stages" and len(place) < len(("stages", 0, "weight"))
    if whole_stage or not isinstance(value, str | int | float):
        return f"; got a value of type {type(value).__name__}"  # which may hold a stage's key
    return f"; got {value!r}"
