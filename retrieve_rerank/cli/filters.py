"""`--filter field=value` into a Filter.

Knows nothing of backends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from retrieve_rerank.base import Filter, Range, Scalar
from retrieve_rerank.errors import InputError

_CONDITION = re.compile(r"\s*([^<>=\s][^<>=]*?)\s*(>=|<=|>|<|=)\s*(.*)", re.DOTALL)
_BOUNDS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}
_BOOLEANS = {"true": True, "false": False}

Values: TypeAlias = "list[Scalar] | dict[str, float]"


def parse_filters(conditions: Sequence[str], fields: Mapping[str, str]) -> Filter:
    """Read conditions; `fields` maps the index's metadata fields to the types of their values.

    Several values of one field mean any of them; bounds on one field (`year>=2000`, `year<2010`)
    mean all. A value is read as the type that its field has in the index.
    """
    filters: dict[str, Values] = {}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise InputError(
                f"filter {condition!r} is none; expected field=value, field>=number, "
                "field>number, field<=number or field<number"
            )
        field, operator, value = match.groups()
        if operator == "=":
            wanted = filters.setdefault(field, [])
            if isinstance(wanted, list):
                wanted += _values(field, value, fields.get(field, "string"))
                continue
        else:
            bounds = filters.setdefault(field, {})
            if isinstance(bounds, dict):
                bounds[_BOUNDS[operator]] = _number(field, value)
                continue
        raise InputError(f"filter on {field} mixes values and bounds; expected one kind")
    return {
        field: Range(**wanted) if isinstance(wanted, dict) else wanted
        for field, wanted in filters.items()
    }


def _values(field: str, value: str, kind: str) -> list[Scalar]:
    match kind:
        case "integer":
            try:
                return [int(value)]
            except ValueError:
                raise InputError(f"filter on {field} expects an integer; got {value!r}") from None
        case "float":
            return [_number(field, value)]
        case "boolean":
            if value.lower() not in _BOOLEANS:
                raise InputError(f"filter on {field} expects true or false; got {value!r}")
            return [_BOOLEANS[value.lower()]]
        case "mixed":
            return [value, *_others(value)]
        case _:
            return [value]


def _others(value: str) -> list[Scalar]:
    """What else a text can stand for, in a field whose values have several types."""
    if value.lower() in _BOOLEANS:
        return [_BOOLEANS[value.lower()]]
    try:
        return [int(value)]
    except ValueError:
        return []


def _number(field: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"filter on {field} expects a number; got {value!r}") from None
