"""The fields of an index's metadata, and the types of the values there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from retrieve_rerank.connectors.records import leaves, type_of

Fields: TypeAlias = dict[str, dict[str, str]]
"""Field name -> its paths -> the type of the values there: string, date, integer, float, boolean,
mixed; at a server also keyword and mapped date.

Nearly every field has one path; `tags` has two when some documents hold a list of objects there.
"""

MIXED = "mixed"
KEYWORD = "keyword"
"""Texts that a server compares as they are, dates among them."""
MAPPED_DATE = "mapped date"
"""Dates of which a server knows forms of its own: epoch milliseconds, say."""
LIKELY_DATE = "likely date"
"""Dates in the documents that were looked at, and perhaps other texts in others."""
STRAY_DATE = "stray date"
"""Dates that are kept apart from the other values of their field, which is none of dates."""

_SHOWN = {KEYWORD: "string", **dict.fromkeys((MAPPED_DATE, LIKELY_DATE, STRAY_DATE), "date")}
_WIDER = {"integer": "float", "date": "string"}


def add_fields(fields: Fields, metadata: Mapping[str, Any]) -> bool:
    """Take a document's fields and types into `fields`; tell whether that changed anything."""
    changed = False
    for name, path, value in leaves(metadata):
        paths = fields.setdefault(name, {})
        before, kind = paths.get(path), type_of(value)
        if before in (kind, MIXED, _WIDER.get(kind, kind)):
            continue
        changed = True
        paths[path] = kind if before is None else _common(before, kind)
    return changed


def field_types(fields: Fields) -> dict[str, str]:
    """Return each field's type over all its paths."""
    types: dict[str, str] = {}
    for name, paths in sorted(fields.items()):
        for kind in map(shown, paths.values()):
            types[name] = _common(types.get(name, kind), kind)
    return types


def shown(kind: str) -> str:
    """Call a type as users know it."""
    return _SHOWN.get(kind, kind)


def _common(one: str, other: str) -> str:
    for narrow, wide in ((one, other), (other, one)):
        if wide in (narrow, _WIDER.get(narrow)):
            return wide
    return MIXED
