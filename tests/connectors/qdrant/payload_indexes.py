"""Which payload index answers which condition, as the server's strict mode has it.

After `lib/collection/src/problems/unindexed_field.rs` of Qdrant 1.20.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from qdrant_client import models

_ANY = ("bool", "datetime", "float", "geo", "integer", "keyword", "text", "uuid")


def payload_schema(indexes: Mapping[str, Any]) -> dict[str, Any]:
    """Describe indexes as a collection's information does."""
    return {
        path: {"data_type": _type(each), "points": 1}
        | ({} if isinstance(each, str) else {"params": each})
        for path, each in indexes.items()
    }


def unindexed(filter: models.Filter, indexes: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """Return the first key that no index can answer a condition of, and which types could."""
    for key, needed in _needs(filter):
        if needed and not needed & _abilities(indexes.get(key)):
            return key, sorted({ability.partition(" ")[0] for ability in needed})
    return None


def _needs(condition: Any) -> Iterator[tuple[str, set[str]]]:
    if isinstance(condition, models.Filter):
        for part in (condition.must, condition.should, condition.must_not):
            for each in part if isinstance(part, list) else [part] if part else []:
                yield from _needs(each)
    elif isinstance(condition, models.IsEmptyCondition):
        yield condition.is_empty.key, set(_ANY)
    elif isinstance(condition, models.IsNullCondition):
        yield condition.is_null.key, set(_ANY)
    elif isinstance(condition, models.FieldCondition):
        yield condition.key, set(_of_field(condition))


def _of_field(condition: models.FieldCondition) -> Iterator[str]:
    match = condition.match
    if isinstance(match, models.MatchText):
        yield "text"
    elif isinstance(match, models.MatchAny | models.MatchValue):
        values: list[Any] = match.any if isinstance(match, models.MatchAny) else [match.value]
        if all(isinstance(each, bool) for each in values):
            yield "bool"
        elif all(isinstance(each, int) for each in values):
            yield "integer lookup"
        else:
            yield "keyword"
            if all(map(_is_uuid, values)):
                yield "uuid"
    if isinstance(condition.range, models.DatetimeRange):
        yield "datetime"
    elif condition.range is not None:
        yield from ("float", "integer range")


def _abilities(index: Any) -> set[str]:
    if index is None:
        return set()
    kind = _type(index)
    of_integers = {
        f"integer {each}"
        for each in ("lookup", "range")
        if kind == "integer" and (isinstance(index, str) or index.get(each) is not False)
    }
    return {kind, *of_integers}


def _type(index: Any) -> str:
    return index if isinstance(index, str) else str(index["type"])


def _is_uuid(value: Any) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
