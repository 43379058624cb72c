"""`--filter field=value` into a Filter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from retrieve_rerank.base import Filter, Range
from retrieve_rerank.errors import InputError

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_CONDITION = re.compile(
    rf"\s*({_QUOTED}|[^<>=\s][^<>=]*?)\s*(!=|>=|<=|>|<|=)\s*"
    rf"({_QUOTED}(?=\s+\|\s|\s*$)|.*?)(\s+\|\s+|\s*$)",
    re.DOTALL,
)
_BOUNDS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def parse_filters(options: Sequence[str]) -> Filter:
    """Read options, all of which must hold; those that want a value of one field, any of them."""
    values: dict[str, list[str]] = {}
    bounds: dict[str, dict[str, str]] = {}
    others: list[Filter] = []
    for option in options:
        conditions = list(_conditions(option))
        field, operator, value = conditions[0]
        if len(conditions) > 1:
            others.append({"or": [_filter(*condition) for condition in conditions]})
        elif operator == "=" and value is not None:
            values.setdefault(field, []).append(value)
        elif operator in _BOUNDS and _BOUNDS[operator] not in bounds.get(field, ()):
            bounds.setdefault(field, {})[_BOUNDS[operator]] = value or ""
        else:
            others.append(_filter(field, operator, value))
    for field in values.keys() & bounds.keys():
        raise InputError(f"the filter on {field} mixes values and bounds; expected one kind")
    ranges = {field: Range(**each) for field, each in bounds.items()}
    plain: dict[str, Any] = {**values, **ranges}
    return {"and": [*([plain] if plain else []), *others]} if others else plain


def _conditions(option: str) -> Iterator[tuple[str, str, str | None]]:
    """Read field, operator and value of each condition; the value is None for `*`."""
    at, more = 0, True
    while more:
        match = _CONDITION.match(option, at)
        if match is None:
            raise InputError(
                f"cannot read the filter {option!r}; expected FIELD=VALUE, FIELD!=VALUE, "
                "FIELD>=BOUND (or >, <=, <), FIELD=* for any value or FIELD!=* for none, and ' | ' "
                'between those of which any will do; "…" around what holds such signs itself'
            )
        field, operator, value, separator = match.groups()
        yield _unquoted(field), operator, None if value == "*" else _unquoted(value)
        at, more = match.end(), "|" in separator


def _filter(field: str, operator: str, value: str | None) -> Filter:
    if operator in _BOUNDS:
        return {field: Range(**{_BOUNDS[operator]: "*" if value is None else value})}
    equal: Filter = {field: value}
    return {"not": equal} if (operator == "!=") != (value is None) else equal


def _unquoted(text: str) -> str:
    if not re.fullmatch(_QUOTED, text, re.DOTALL):
        return text
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])
