"""Indexes over metadata fields, made when a filter first asks for the field.

Without one, the engine looks at every point's payload: 17 ms for 5,000 points, .1 ms with one.
"""

from __future__ import annotations

from collections.abc import Iterable

import qdrant_edge as edge

from retrieve_rerank.connectors.embedded.requests import payload_key
from retrieve_rerank.connectors.embedded.shared import SharedShard
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.filters import Clause, conditions

_MANY_POINTS = 2000  # below, a filter looks at each sooner than an index is made

_TYPES = {
    "string": edge.PayloadSchemaType.Keyword,
    "date": edge.PayloadSchemaType.Datetime,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "boolean": edge.PayloadSchemaType.Bool,
}  # an index holds values of one type, so that fields of mixed types have none


class FieldIndexes:
    """Remembers which fields have been seen to; called by one thread at a time."""

    def __init__(self) -> None:
        self._right: set[tuple[str, str]] = set()

    def ensure(self, shared: SharedShard, wanted: Iterable[Clause], fields: Fields) -> None:
        """Index what conditions ask for; drop an index that lacks a later type's values."""
        for condition in conditions(wanted):
            for path in condition.wanted:
                kind = fields[condition.field][path]
                if (path, kind) not in self._right and self._make(shared, path, kind):
                    self._right.add((path, kind))

    @staticmethod
    def _make(shared: SharedShard, path: str, kind: str) -> bool:
        key, index_type = payload_key(path), _TYPES.get(kind)
        with shared.use() as shard:
            info = shard.info()
        existing = info.payload_schema.get(key)
        if existing is not None and existing.data_type != index_type:
            shared.update(edge.UpdateOperation.delete_field_index(key))
            existing = None
        if existing is None and index_type is not None:
            if info.points_count < _MANY_POINTS:
                return False
            shared.update(edge.UpdateOperation.create_field_index(key, index_type))
        return True
