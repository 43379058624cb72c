"""Filters as Qdrant words them: pure functions over its typed models."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from qdrant_client import models

from retrieve_rerank.base import Range
from retrieve_rerank.connectors.dates import MICROSECOND, Span
from retrieve_rerank.connectors.filter_values import Wanted, bounds
from retrieve_rerank.connectors.filters import AllOf, Clause, Condition, Missing, NoneOf
from retrieve_rerank.connectors.qdrant.layout import Layout

Indexes: TypeAlias = Mapping[str, models.PayloadIndexInfo]
"""A payload's indexes by their paths."""


def payload_filter(
    clauses: Sequence[Clause], layout: Layout, *, indexes: Indexes | None = None
) -> models.Filter | None:
    """Translate clauses, all of which must hold; a condition at any of its field's paths.

    With `indexes`, into what these can answer, as strict mode may want it: a list of nulls is then
    not empty, and a text index finds texts that have the words.
    """
    if not clauses:
        return None
    return models.Filter(must=[_clause(each, layout, indexes) for each in clauses])


def is_empty(key: str) -> models.IsEmptyCondition:
    """Ask for the points that have nothing at a payload's key: no value, null, or an empty list."""
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def answers(index: models.PayloadIndexInfo, wanted: Wanted) -> bool:
    """Tell whether strict mode takes an index for what is wanted, in one form or another."""
    kind = index.data_type
    if isinstance(wanted, Span):
        return kind == models.PayloadSchemaType.DATETIME
    if isinstance(wanted, bool):
        return kind == models.PayloadSchemaType.BOOL
    if isinstance(wanted, str):
        return kind in (models.PayloadSchemaType.KEYWORD, models.PayloadSchemaType.TEXT) or (
            kind == models.PayloadSchemaType.UUID and _is_uuid(wanted)
        )
    if kind == models.PayloadSchemaType.INTEGER:
        return type(wanted) is int or _has(index, "range")
    return kind == models.PayloadSchemaType.FLOAT


def _clause(clause: Clause, layout: Layout, indexes: Indexes | None) -> models.Filter:
    if isinstance(clause, Condition):
        at = {layout.path(path): wanted for path, wanted in clause.wanted.items()}
        index = indexes or {}
        return models.Filter(
            should=[each for key in at for each in _alternatives(key, at[key], index.get(key))]
        )
    if isinstance(clause, Missing):
        keys = map(layout.path, clause.paths)
        return models.Filter(
            must=[_missing(key) if indexes is None else is_empty(key) for key in keys]
        )
    inner: list[Any] = [_clause(each, layout, indexes) for each in clause.clauses]
    if isinstance(clause, NoneOf):
        return models.Filter(must_not=inner)
    return models.Filter(must=inner) if isinstance(clause, AllOf) else models.Filter(should=inner)


def _missing(key: str) -> models.Condition:
    """Ask for nothing there; Qdrant does not say that a list of nulls is empty."""
    if "[]" in key:  # of several values: it does
        return is_empty(key)
    null = models.IsNullCondition(is_null=models.PayloadField(key=key))
    nulls = models.Filter(must=[null, is_empty(f"{key}[]")])
    return models.Filter(should=[is_empty(key), nulls])


def _alternatives(
    key: str, wanted: Sequence[Wanted], index: models.PayloadIndexInfo | None
) -> list[models.FieldCondition]:
    # Qdrant matches texts, integers and booleans only, several at once if of one type.
    texts = [value for value in wanted if isinstance(value, str)]
    integers = [value for value in wanted if type(value) is int]
    booleans = [value for value in wanted if isinstance(value, bool)]
    points = [value for value in wanted if isinstance(value, float)]
    matches: list[Any] = []
    if index is not None and index.data_type == models.PayloadSchemaType.TEXT:
        matches, texts = [models.MatchText(text=text) for text in texts], []
    if index is not None and not _has(index, "lookup"):
        points, integers = [*points, *integers], []
    matches += [models.MatchAny(any=values) for values in (texts, integers) if values]
    matches += [models.MatchValue(value=value) for value in booleans]
    ranges: list[Any] = [
        models.Range(**bounds(each))
        if isinstance(each, Range)
        else models.DatetimeRange.model_validate(each.rounded(MICROSECOND).texts())
        for each in wanted
        if isinstance(each, Range | Span)
    ]
    ranges += [models.Range(gte=point, lte=point) for point in points]
    return [
        *(models.FieldCondition(key=key, match=each) for each in matches),
        *(models.FieldCondition(key=key, range=each) for each in ranges),
    ]


def _has(index: models.PayloadIndexInfo, ability: str) -> bool:
    """Tell whether an index of numbers finds values (`lookup`) or ranges of them (`range`).

    One of integers does both unless it was made without; one of other numbers finds ranges alone.
    """
    if index.data_type == models.PayloadSchemaType.FLOAT:
        return ability == "range"
    return getattr(index.params, ability, None) is not False


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
