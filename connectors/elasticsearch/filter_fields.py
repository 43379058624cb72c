"""What documents of an index can be filtered by, as its mapping tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from retrieve_rerank.connectors.dates import MICROSECOND, instant
from retrieve_rerank.connectors.elasticsearch.filtering import FilterFields
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.mapping import (
    FLOAT_TYPES,
    INTEGER_TYPES,
    KEYWORD_TYPES,
    TEXT_TYPES,
    VECTOR_TYPES,
    Field,
    Index,
)
from retrieve_rerank.connectors.field_types import KEYWORD, MAPPED_DATE, STRAY_DATE, Fields
from retrieve_rerank.connectors.records import Leaf, type_of

LEAVES = "filters"
"""Field of our own indexes that holds what filters ask for: an object for each type of value."""

_KINDS: Mapping[str, str] = {
    **dict.fromkeys((*KEYWORD_TYPES, "ip", "version"), KEYWORD),
    **dict.fromkeys(("date", "date_nanos"), MAPPED_DATE),
    **dict.fromkeys(INTEGER_TYPES, "integer"),
    **dict.fromkeys(FLOAT_TYPES, "float"),
    "boolean": "boolean",
}
_BITS = {"integer": 32, "long": 64}  # narrower ones are compared as integers
_STRAY_DOT = re.compile(r"^\.|\.$|\.\.")
_PLAIN = re.compile(r"[\w\-. ]")


def filter_fields(index: Index, layout: Layout) -> FilterFields:
    """List what documents of an index can be filtered by."""
    return _own(index) if layout.own else _of_others(index, layout)


def leaf(found: Leaf, *, dates: bool) -> tuple[str, str, Any]:
    """Say how our own indexes keep one value of the metadata: as type, name and value.

    `dates` says whether the index has a place for them; where it has not they are strings.
    """
    kind = type_of(found.value)
    if kind == "float":
        return kind, _encoded(found.name), float(found.value) + 0.0  # the server tells -0 from 0
    if kind != "date":
        return kind, _encoded(found.name), found.value
    if not dates:
        return "string", _encoded(found.name), found.value
    return kind, _encoded(found.name), (instant(str(found.value)) or 0) // MICROSECOND


def _own(index: Index) -> FilterFields:
    fields: Fields = {}
    for path in index.fields:
        if path.startswith(f"{LEAVES}."):
            _, kind, name = path.split(".", 2)
            fields.setdefault(unquote(name), {})[path] = KEYWORD if kind == "string" else kind
    for paths in fields.values():
        if len(paths) > 1:
            paths.update({path: STRAY_DATE for path, kind in paths.items() if kind == "date"})
    return FilterFields(
        fields,
        present={name: tuple(paths) for name, paths in fields.items()},
        bits=_bits(index.fields),
        numbered=frozenset(path for path in index.fields if path.startswith(f"{LEAVES}.date.")),
    )


def _of_others(index: Index, layout: Layout) -> FilterFields:
    root = f"{layout.metadata}." if layout.metadata else ""
    there = {**index.fields, **index.runtime}
    fields: Fields = {}
    others: Fields = {}
    present: dict[str, tuple[str, ...]] = {}
    nested: dict[str, str] = {}
    flattened: dict[str, str] = {}
    refused: dict[str, str] = {}
    tables: Sequence[dict[str, Any]] = (fields, present, flattened, refused)
    for each in there.values():
        if each.type in ("alias", *VECTOR_TYPES) or each.path in layout.excludes:
            continue
        name = (each.variant_of or each.path).removeprefix(root)
        if not _searchable(each):
            refused.setdefault(name, "is neither indexed nor kept in doc values")
            continue
        present[name] = (*present.get(name, ()), each.path)
        if each.nested:
            nested[each.path] = each.nested
        if each.type == "flattened":
            flattened[name] = each.path
            refused[name] = f"is an object, of which a key is to be named ({name}.KEY)"
        elif each.type in TEXT_TYPES:
            refused[name] = "is analysed into words and has no variant of type keyword"
        elif each.type in _KINDS:
            fields.setdefault(name, {})[each.path] = _KINDS[each.type]
            others[each.path.removeprefix(root)] = {each.path: _KINDS[each.type]}
        else:
            refused.setdefault(name, f"is of type {each.type}")
    for path, difference in index.differing.items():
        name = difference.name.removeprefix(root)
        if not difference.types & VECTOR_TYPES:
            present.setdefault(name, (path,))
            refused[name] = difference.said
    for each in there.values():
        if each.type == "alias":
            name, target = (p.removeprefix(root) for p in (each.path, each.settings["path"]))
            for table in tables:
                if target in table:
                    table[name] = table[target]
            if target in others:
                fields.setdefault(name, others[target])
    return FilterFields(
        fields,
        others,
        present,
        nested,
        flattened,
        refused,
        nanoseconds=frozenset(path for path, each in there.items() if each.type == "date_nanos"),
        bits=_bits(there),
        root=root,
    )


def _bits(fields: Mapping[str, Field]) -> dict[str, int]:
    return {path: _BITS[each.type] for path, each in fields.items() if each.type in _BITS}


def _searchable(found: Field) -> bool:
    doc_values = found.settings.get("doc_values", found.type not in TEXT_TYPES)
    return bool(found.settings.get("index", True) or doc_values)


def _encoded(name: str) -> str:
    """Write a field's name so that a mapping takes it, whatever characters it has."""
    safe = "".join(char if _PLAIN.fullmatch(char) else quote(char, safe="") for char in name)
    if _STRAY_DOT.search(safe):
        safe = safe.replace(".", "%2E")
    return safe if safe.strip() == safe else safe.replace(" ", "%20")
