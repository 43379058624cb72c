"""`--filter field=value` into a Filter.

Knows nothing of an index's fields; connectors read values as the types that their fields have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from retrieve_rerank.base import Filter, Range, Scalar
from retrieve_rerank.errors import InputError

_CONDITION = re.compile(r"\s*([^<>=\s][^<>=]*?)\s*(>=|<=|>|<|=)\s*(.*)", re.DOTALL)
_BOUNDS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def parse_filters(conditions: Sequence[str]) -> Filter:
    """Read conditions; several values of one field mean any of them, several bounds all."""
    values: dict[str, list[Scalar]] = {}
    bounds: dict[str, dict[str, float]] = {}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise InputError(
                f"cannot read the filter {condition!r}; expected FIELD=VALUE, FIELD>=NUMBER, "
                "FIELD>NUMBER, FIELD<=NUMBER or FIELD<NUMBER"
            )
        field, operator, value = match.groups()
        if operator == "=":
            values.setdefault(field, []).append(value)
        else:
            bounds.setdefault(field, {})[_BOUNDS[operator]] = _number(field, value)
    for field in values.keys() & bounds.keys():
        raise InputError(f"the filter on {field} mixes values and bounds; expected one kind")
    return {**values, **{field: Range(**each) for field, each in bounds.items()}}


def _number(field: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"the filter on {field} expects a number; got {value!r}") from None
