"""Filters as Haystack and LlamaIndex write them, read as ours; neither need be installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrieve_rerank.base import Filter, Range
from retrieve_rerank.errors import InputError

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_NO_METADATA = ("id", "content", "score", "embedding")


def from_haystack(given: Mapping[str, Any]) -> Filter:
    """Read {"field", "operator", "value"} and {"operator", "conditions"}; ours stays as it is.

    A filter of ours may have {"gte": 3} in place of Range(gte=3), so that a file can hold it.
    Raises InputError for what no index can be asked for.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"filters: expected a mapping; got {given!r:.200}")
    if given.keys() == {"operator", "conditions"}:
        operator, conditions = given["operator"], given["conditions"]
        if not isinstance(conditions, list | tuple):
            raise InputError(f"filters: expected a list of conditions; got {conditions!r:.200}")
        return _joined(str(operator).lower(), list(map(from_haystack, conditions)))
    if given.keys() == {"field", "operator", "value"}:
        field = given["field"]
        if not isinstance(field, str):
            raise InputError(f"filters: expected a field's name; got {field!r:.200}")
        if field in _NO_METADATA:
            raise InputError(f"filters: {field} is no metadata; only meta can be filtered by")
        return _condition(field.removeprefix("meta."), str(given["operator"]), given["value"])
    return {name: _with_ranges(value) for name, value in given.items()}


def from_llama_index(given: Any) -> Filter:
    """Read MetadataFilters; raise InputError for what no index can be asked for."""
    if not given.filters:
        return {}
    parts = [
        from_llama_index(each)
        if hasattr(each, "filters")
        else _condition(each.key, each.operator.value, each.value)
        for each in given.filters
    ]
    operator = "and" if given.condition is None else given.condition.value
    # LlamaIndex's "not" wants none of them, Haystack's not all of them.
    return {"not": parts} if operator == "not" else _joined(operator, parts)


def _joined(operator: str, parts: list[Filter]) -> Filter:
    if operator not in ("and", "or", "not"):
        raise InputError(f"filters: expected the operator AND, OR or NOT; got {operator!r}")
    return {"not": {"and": parts}} if operator == "not" else {operator: parts}


def _condition(field: str, operator: str, value: Any) -> Filter:
    if operator in _BOUNDS:
        return {field: Range(**{_BOUNDS[operator]: value})}
    match operator:
        case "==" | "in" | "any" | "contains":
            return {field: value}
        case "!=" | "not in" | "nin":
            return {"not": {field: value}}
        case "all":
            return {"and": [{field: each} for each in value]}
        case "is_empty":
            return {field: None}
    known = ", ".join(("==", "!=", *_BOUNDS, "in"))
    raise InputError(f"filter of {field}: expected one of {known}; got {operator!r}")


def _with_ranges(value: Any) -> Any:
    if isinstance(value, Mapping):
        bounds = value and value.keys() <= set(_BOUNDS.values())
        return Range(**value) if bounds else from_haystack(value)
    return [_with_ranges(each) for each in value] if isinstance(value, list | tuple) else value
