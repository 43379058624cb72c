"""What a filter's value stands for among values of a type, and which values are so."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any, TypeAlias

from retrieve_rerank.base import Range, Scalar
from retrieve_rerank.connectors.dates import FIRST, LAST, Span, instant, read_date
from retrieve_rerank.connectors.field_types import (
    KEYWORD,
    LIKELY_DATE,
    MAPPED_DATE,
    MIXED,
    STRAY_DATE,
    shown,
)
from retrieve_rerank.errors import InputError
from retrieve_rerank.text.template import readable

Wanted: TypeAlias = Scalar | Range | Span
"""A value to equal, numbers to lie between, or a time to lie in; at MAPPED_DATE also what only the
server can read."""

_NUMBERS = ("integer", "float")
_DATES = ("date", LIKELY_DATE, MAPPED_DATE, STRAY_DATE)
_OPERATORS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_COMPARED = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}


def converted(value: Any, kind: str) -> list[Wanted]:
    """Return what a value or Range stands for among values of a type; nothing if it cannot."""
    if not isinstance(value, str | int | float | date | Range):
        raise InputError(
            f"a filter compares texts, numbers, booleans and dates; got {value!r:.200}"
        )
    kinds = ("string", "float", "boolean") if kind == MIXED else (kind,)
    if isinstance(value, Range):
        return [new for each in kinds for new in _range(value, each)]
    return [new for each in kinds for new in _value(value, each)]


def unfit(name: str, value: Any, kinds: Collection[str]) -> InputError:
    """Say that a field of these types cannot be what is wanted of it."""
    known = sorted(set(map(shown, kinds)))
    if not isinstance(value, Range):
        expected = " or ".join(known)
        return InputError(f"filter {name}: expected {expected}, as the field holds; got {value!r}")
    if KEYWORD in kinds:
        return InputError(
            f"filter {name}: the index keeps these values as texts, of which it finds no range; "
            "map it as dates or numbers (an index that rr index made: make it anew)"
        )
    possible = {
        **dict.fromkeys((*_NUMBERS, MIXED), "numbers"),
        **dict.fromkeys(("date", "string"), "dates, such as 2024-01-31 or 2024-01-31T09:00:00Z"),
    }
    expected = " or ".join(sorted({possible.get(kind, "true or false") for kind in known}))
    ends = " and ".join(f"{_OPERATORS[at]} {end!r}" for at, end in bounds(value).items())
    return InputError(
        f"filter {name}: expected {expected}, as the field holds {' or '.join(known)}; got a range "
        f"{ends or 'without bounds'}"
    )


def fits(value: Scalar, wanted: Wanted) -> bool:
    """Tell whether a document's value is as it is wanted."""
    if isinstance(wanted, Span):
        at = instant(value) if isinstance(value, str) else None
        return at is not None and wanted.gte <= at < wanted.lt
    if isinstance(wanted, Range):
        return not isinstance(value, bool | str) and all(
            _COMPARED[at](value, bound) for at, bound in bounds(wanted).items()
        )
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def bounds(wanted: Range) -> dict[str, Any]:
    """List the bounds that a Range has: gte, gt, lte, lt."""
    return {at: bound for at, bound in asdict(wanted).items() if bound is not None}


def _value(value: Scalar | date, kind: str) -> Iterator[Wanted]:
    span = read_date(value) if isinstance(value, str | date) else None
    if kind in ("string", STRAY_DATE) and len(str(value)) < len("2024-01-31"):
        span = None  # a text such as 2024 is no date unless the field holds dates
    if kind in _DATES:
        if span is not None:
            yield span
        elif kind in (LIKELY_DATE, MAPPED_DATE) and not isinstance(value, date):
            yield _text(value)
    elif kind in ("string", KEYWORD):
        if not isinstance(value, date):
            yield _text(value)
        if kind == "string" and span is not None:
            yield span
    elif kind == "boolean":
        if str(value).lower() in ("true", "false"):
            yield str(value).lower() == "true"
    elif (number := _number(value)) is not None:
        if kind == "float":
            yield float(number)
        elif _is_whole(number):
            yield int(number)


def _range(wanted: Range, kind: str) -> Iterator[Wanted]:
    if not (ends := bounds(wanted)):
        return
    if kind in _NUMBERS:
        numbers = {at: _number(bound) for at, bound in ends.items()}
        if None not in numbers.values():
            yield Range(**numbers)
    elif kind in (*_DATES, "string"):
        times: dict[str, Span] = {}
        for at, end in ends.items():
            if isinstance(end, str | date) and (span := read_date(end)) is not None:
                times[at] = span
        if len(times) == len(ends):
            yield _between(times)
        elif kind == MAPPED_DATE:  # in texts, as numbers are milliseconds whatever the mapping says
            texts = {
                at: _text(end) for at, end in ends.items() if isinstance(end, str | float | int)
            }
            if len(texts) == len(ends):
                yield Range(**texts)


def _between(times: Mapping[str, Span]) -> Span:
    """Make one span of bounds that are spans: what is after one begins where it ends."""
    starts = [span.lt if at == "gt" else span.gte for at, span in times.items() if at[0] == "g"]
    ends = [span.lt if at == "lte" else span.gte for at, span in times.items() if at[0] == "l"]
    return Span(max(starts, default=FIRST), min(ends, default=LAST))


def _text(value: Scalar) -> str:
    return readable(value) if isinstance(value, str) else json.dumps(value)


def _number(value: Any) -> int | float | None:
    """Read a finite number; None for what is none."""
    if isinstance(value, str):
        for read in (int, float):  # int first: float would round long ones
            try:
                return _number(read(value))
            except ValueError:
                continue
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not _is_whole(value):
        try:
            value = float(value)
        except OverflowError:
            return None
    return value + 0 if math.isfinite(value) else None  # of -0.0, which Elasticsearch tells from 0


def _is_whole(number: float) -> bool:
    """Whether a number is a whole one that any index can hold: of 64 bits."""
    return -(2.0**63) <= number < 2.0**63 and number == int(number)
