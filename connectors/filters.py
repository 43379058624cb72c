"""Filters against the fields that an index has: unknown names refused, values converted.

Knows nothing of any backend.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from retrieve_rerank.base import Filter, Range, Scalar
from retrieve_rerank.connectors.records import leaves, type_of
from retrieve_rerank.errors import InputError, UnknownFieldError

Fields: TypeAlias = dict[str, dict[str, str]]
"""Field name -> its paths -> the type of the values there: string, integer, float, boolean, mixed.

Nearly every field has one path; `tags` has two when some documents hold a list of objects there.
"""

MIXED = "mixed"
_NAMED_IN_ERRORS = 20


class Condition(NamedTuple):
    """What one field must be: at any of its paths, one of the values there or within the range."""

    field: str
    accepted: Mapping[str, tuple[Scalar, ...] | Range]


def add_fields(fields: Fields, metadata: Mapping[str, Any]) -> bool:
    """Take a document's fields and types into `fields`; tell whether that changed anything."""
    changed = False
    for name, path, value in leaves(metadata):
        paths = fields.setdefault(name, {})
        before, kind = paths.get(path), type_of(value)
        if before in (kind, MIXED) or (before, kind) == ("float", "integer"):
            continue
        changed = True
        paths[path] = kind if before is None else _common(before, kind)
    return changed


def field_types(fields: Fields) -> dict[str, str]:
    """Return each field's type over all its paths."""
    types: dict[str, str] = {}
    for name, paths in sorted(fields.items()):
        for kind in paths.values():
            types[name] = _common(types.get(name, kind), kind)
    return types


def conditions(filter: Filter | None, fields: Fields) -> list[Condition]:
    """Check a filter and convert its values to the types that its fields hold.

    Raises UnknownFieldError for a field that no document has, and InputError for a value that
    the field cannot hold.
    """
    found = []
    for name, wanted in (filter or {}).items():
        if name not in fields:
            raise UnknownFieldError(f"no document has the field {name!r}; {_known(fields)}")
        accepted = {
            path: accept
            for path, kind in fields[name].items()
            if (accept := _accepted(wanted, kind)) is not None
        }
        if not accepted:
            kinds = " or ".join(sorted(set(fields[name].values())))
            shown = "a range of numbers" if isinstance(wanted, Range) else f"{wanted!r}"
            raise InputError(f"filter {name}: expected {kinds}, as the field holds; got {shown}")
        found.append(Condition(name, accepted))
    return found


def matches(metadata: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    """Tell whether a document's metadata meets all conditions."""
    if not conditions:
        return True
    values = list(leaves(metadata))
    return all(
        any(leaf.path in accepted and _fits(leaf.value, accepted[leaf.path]) for leaf in values)
        for _, accepted in conditions
    )


def _known(fields: Fields) -> str:
    if not fields:
        return "the index has no metadata to filter by"
    names = sorted(fields)
    rest = len(names) - _NAMED_IN_ERRORS
    return f"known: {', '.join(names[:_NAMED_IN_ERRORS])}" + (f" and {rest} more" * (rest > 0))


def _accepted(wanted: Any, kind: str) -> tuple[Scalar, ...] | Range | None:
    if isinstance(wanted, Range):
        bounds = (wanted.gte, wanted.gt, wanted.lte, wanted.lt)
        if not all(bound is None or isinstance(bound, int | float) for bound in bounds):
            raise InputError(f"a Range needs numbers; got {wanted}")
        return None if kind in ("string", "boolean") else wanted
    values = [wanted] if isinstance(wanted, str | int | float) else wanted
    if not isinstance(values, Sequence) or not values:
        raise InputError(f"a filter needs a value, values or a Range; got {wanted!r}")
    return tuple(new for value in values for new in _converted(value, kind)) or None


def _converted(value: Any, kind: str) -> list[Scalar]:
    """Return what `value` stands for among values of a type; nothing when it cannot be one."""
    if not isinstance(value, str | int | float):
        raise InputError(f"a filter compares texts, numbers and booleans; got {value!r}")
    if kind == MIXED:
        return [new for each in ("string", "float", "boolean") for new in _converted(value, each)]
    if kind == "string":
        return [value if isinstance(value, str) else json.dumps(value)]
    if kind == "boolean" or isinstance(value, bool):
        literal = str(value).lower()
        return [literal == "true"] if kind == "boolean" and literal in ("true", "false") else []
    number = _number(value) if isinstance(value, str) else value
    if number is None or not math.isfinite(number):
        return []
    if kind == "float":
        return [float(number)]
    return [int(number)] if number == int(number) else []


def _number(text: str) -> int | float | None:
    for read in (int, float):  # int first: float would round long ones
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _fits(value: Scalar, accepted: tuple[Scalar, ...] | Range) -> bool:
    if not isinstance(accepted, Range):
        return any(
            value == each and isinstance(value, bool) == isinstance(each, bool) for each in accepted
        )
    if isinstance(value, bool | str):
        return False
    return (
        (accepted.gte is None or value >= accepted.gte)
        and (accepted.gt is None or value > accepted.gt)
        and (accepted.lte is None or value <= accepted.lte)
        and (accepted.lt is None or value < accepted.lt)
    )


def _common(one: str, other: str) -> str:
    if one == other:
        return one
    return "float" if {one, other} == {"integer", "float"} else MIXED
