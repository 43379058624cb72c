"""Filters in the server's words, over the fields that an index has.

Knows nothing of clients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from retrieve_rerank.base import Filter, Range
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.mapping import TEXT_TYPES, VECTOR_TYPES, Index
from retrieve_rerank.connectors.filters import Fields, conditions
from retrieve_rerank.connectors.records import Leaf, type_of
from retrieve_rerank.errors import UnknownFieldError

LEAVES = "filters"
"""Field of our own indexes that holds what filters ask for: an object for each type of value."""

_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("keyword", "constant_keyword", "wildcard", "ip", "version", "date"), "string"),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "integer"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "float"),
    "boolean": "boolean",
}
_STRAY_DOT = re.compile(r"^\.|\.$|\.\.")
_PLAIN = re.compile(r"[\w\-. ]")


@dataclass(frozen=True, slots=True)
class FilterFields:
    """What can be filtered by."""

    fields: Fields
    """Name, as in a hit's metadata -> paths in the index -> type of the values there."""
    nested: Mapping[str, str] = field(default_factory=dict)
    """Path -> the field of type nested that it is in."""
    flattened: Mapping[str, str] = field(default_factory=dict)
    """Name -> path of an object of which every key can be filtered by."""
    analysed: frozenset[str] = frozenset()
    """Names of fields that hold words, and nothing to compare a whole value with."""
    root: str = ""
    """Path that all names are relative to, with a dot at its end."""

    def clauses(self, filter: Filter | None) -> list[dict[str, Any]]:
        """Word a filter, one clause for each of its fields.

        Raises UnknownFieldError and InputError as `conditions` does.
        """
        fields = self.fields
        wanted = {self._known_as(name): value for name, value in (filter or {}).items()}
        for name in wanted:
            if name in self.analysed:
                raise UnknownFieldError(
                    f"{name!r} is analysed into words and has no variant of type keyword, so that "
                    "it cannot be filtered by"
                )
            if name not in fields and (path := self._within_flattened(name)):
                fields = {**fields, name: {path: "string"}}
        return [_clause(each.accepted, self.nested) for each in conditions(wanted, fields)]

    def _known_as(self, name: str) -> str:
        short = name.removeprefix(self.root)
        return short if name not in self.fields and short in self.fields else name

    def _within_flattened(self, name: str) -> str | None:
        for parent, path in self.flattened.items():
            if name.startswith(f"{parent}."):
                return path + name.removeprefix(parent)
        return None


def filter_fields(index: Index, layout: Layout) -> FilterFields:
    """List what documents of an index can be filtered by."""
    return _own(index) if layout.own else _of_others(index, layout)


def leaf_path(leaf: Leaf) -> str:
    """Say where our own indexes keep one value of the metadata."""
    return f"{type_of(leaf.value)}.{_encoded(leaf.name)}"


def _own(index: Index) -> FilterFields:
    fields: Fields = {}
    for path in index.fields:
        if path.startswith(f"{LEAVES}."):
            _, kind, name = path.split(".", 2)
            fields.setdefault(unquote(name), {})[path] = kind
    return FilterFields(fields)


def _of_others(index: Index, layout: Layout) -> FilterFields:
    root = f"{layout.metadata}." if layout.metadata else ""
    fields: Fields = {}
    nested, flattened, analysed = {}, {}, set()
    for each in index.fields.values():
        name = (each.variant_of or each.path).removeprefix(root)
        if each.type in VECTOR_TYPES or each.path in layout.excludes:
            continue
        if each.nested:
            nested[each.path] = each.nested
        if each.type == "flattened":
            flattened[name] = each.path
        elif each.type in TEXT_TYPES:
            analysed.add(name)
        elif each.type in _KINDS:
            fields.setdefault(name, {})[each.path] = _KINDS[each.type]
    return FilterFields(fields, nested, flattened, frozenset(analysed - fields.keys()), root)


def _clause(
    accepted: Mapping[str, Sequence[Any] | Range], nested: Mapping[str, str]
) -> dict[str, Any]:
    parts = [_at(path, wanted, nested.get(path)) for path, wanted in accepted.items()]
    return parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}


def _at(path: str, wanted: Sequence[Any] | Range, nested: str | None) -> dict[str, Any]:
    if isinstance(wanted, Range):
        bounds = {"gte": wanted.gte, "gt": wanted.gt, "lte": wanted.lte, "lt": wanted.lt}
        clause: dict[str, Any] = {
            "range": {path: {name: at for name, at in bounds.items() if at is not None}}
        }
    else:
        clause = {"terms": {path: list(wanted)}}
    return {"nested": {"path": nested, "query": clause}} if nested else clause


def _encoded(name: str) -> str:
    """Write a field's name so that a mapping takes it, whatever characters it has."""
    safe = "".join(char if _PLAIN.fullmatch(char) else quote(char, safe="") for char in name)
    if _STRAY_DOT.search(safe):
        safe = safe.replace(".", "%2E")
    return safe if safe.strip() == safe else safe.replace(" ", "%20")
