"""Click logs: what was shown for a query, in which order, and what of it was clicked.

JSON lines, a line for each time that a list of results was shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retrieve_rerank.data.json_lines import JsonRecords
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import InputError, shown

SHAPE = (
    '{"query": …, "user": …, "time": …, "hits": [{"id": …, "position": …, "clicked": …}, …]},'
    ' perhaps with "swap": [1, 3], "examined", "reformulates"; a hit perhaps with "text", "copied"'
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One result as it was shown."""

    id: str
    position: int
    """From 1."""
    clicked: bool
    copied: bool = False
    """The user copied its text: an answer, not only a glance."""
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A query's results, shown once to one user."""

    query: str
    shown: tuple[Shown, ...]
    """By position."""
    user: str
    time: float
    """Seconds since 1970."""
    swap: tuple[int, int] | None = None
    """Two positions whose results a coin exchanged, or left as they were: either is logged so."""
    examined: int | None = None
    """The last position that the user is known to have seen, such as by scrolling."""
    reformulates: str | None = None
    """The user's query before, that this one says in other words."""

    @property
    def last_examined(self) -> int:
        """The last position that was seen, as far as is known: that, or the last click's; or 0."""
        clicked = (each.position for each in self.shown if each.clicked or each.copied)
        return max([self.examined or 0, *clicked])


def read_sessions(path: str) -> Iterator[Session]:
    """Read a click log, gzipped or not; raise InputError with the line of what is no session."""
    for place, record in JsonRecords(path).objects():
        if isinstance(record, Reason):
            raise InputError(f"{place}: {record}")
        try:
            yield _session(record)
        except ValueError as exc:
            raise InputError(f"{place}: {exc}; expected {SHAPE}") from None


def _session(record: Mapping[str, Any]) -> Session:
    hits = record.get("hits")
    if not isinstance(hits, list) or not hits:
        raise ValueError("no hits")
    shown_ = tuple(
        sorted((_shown(hit, n) for n, hit in enumerate(hits, 1)), key=lambda each: each.position)
    )
    if len({each.position for each in shown_}) < len(shown_):
        raise ValueError("two hits at one position")
    examined, reformulates = record.get("examined"), record.get("reformulates")
    return Session(
        _text(record, "query"),
        shown_,
        _text(record, "user"),
        _time(record.get("time")),
        _swap(record.get("swap"), {each.position for each in shown_}),
        None if examined is None else _position(examined),
        None if reformulates is None else _text(record, "reformulates"),
    )


def _shown(hit: object, place: int) -> Shown:
    if not isinstance(hit, Mapping):
        raise ValueError(f"a hit that is no object: {shown(str(hit))}")
    clicked, copied = hit.get("clicked"), hit.get("copied", False)
    if not isinstance(clicked, bool) or not isinstance(copied, bool):
        raise ValueError(f"a hit without true or false as 'clicked': {shown(str(dict(hit)))}")
    text = hit.get("text")
    return Shown(
        _text(hit, "id"),
        _position(hit.get("position", place)),
        clicked,
        copied,
        None if text is None else _text(hit, "text"),
    )


def _text(record: Mapping[str, Any], field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no text in {field!r}: {shown(str(value))}")
    return value


def _position(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"no position, which counts from 1: {shown(str(value))}")
    return value


def _swap(value: object, positions: set[int]) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or value[0] == value[1]:
        raise ValueError(f"no two positions in 'swap': {shown(str(value))}")
    one, other = sorted(map(_position, value))
    if not {one, other} <= positions:
        raise ValueError(f"a swap of positions that are not shown: {one} and {other}")
    return one, other


def _time(value: object) -> float:
    if isinstance(value, str):
        told = datetime.fromisoformat(value)
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"no time, as ISO 8601 or seconds since 1970: {shown(str(value))}")
    return float(value)
