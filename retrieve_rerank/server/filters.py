"""Filters in JSON: as in Python, with an object of bounds in place of a Range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrieve_rerank.base import Filter, Range
from retrieve_rerank.errors import InputError

MOST_VALUES = 1_000
"""Of a filter, over all its fields."""

_MOST_DEPTH = 20
_BOUNDS = frozenset(("gte", "gt", "lte", "lt"))


def read_filter(content: Mapping[str, Any]) -> Filter:
    """Read {"year": {"gte": 2000}, "or": […]}; raise InputError for one that is too large.

    What else may be wrong with it, the index says.
    """
    values = [0]
    return {name: _value(value, values, 0) for name, value in content.items()}


def _value(value: Any, values: list[int], depth: int) -> Any:
    values[0] += 1
    if values[0] > MOST_VALUES:
        raise InputError(f"a filter has {MOST_VALUES:,} values at most")
    if depth > _MOST_DEPTH:
        raise InputError("filters within filters go too deep")
    if isinstance(value, list):
        return [_value(each, values, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if value and value.keys() <= _BOUNDS:
        for bound in value.values():
            if isinstance(bound, bool) or not isinstance(bound, int | float | str | None):
                raise InputError(f"expected a number or a date as bound; got {bound!r:.60}")
        return Range(**value)
    return {name: _value(each, values, depth + 1) for name, each in value.items()}
