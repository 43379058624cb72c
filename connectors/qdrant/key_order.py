"""The keys of what arrives by gRPC, in one order: its maps have another at each call."""

from __future__ import annotations

from typing import Any

from qdrant_client.http import models


def ordered(answer: Any) -> Any:
    """Sort the keys of an answer's payloads and metadata, in place."""
    if isinstance(answer, list | tuple):
        for each in answer:
            ordered(each)
    elif isinstance(answer, models.QueryResponse):
        ordered(answer.points)
    elif isinstance(answer, models.Record | models.ScoredPoint):
        answer.payload = _sorted(answer.payload)
    elif isinstance(answer, models.CollectionInfo):
        answer.config.metadata = _sorted(answer.config.metadata)
        answer.payload_schema = _sorted(answer.payload_schema)
    return answer


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _sorted(each) if isinstance(each, dict | list) else each
            for key, each in sorted(value.items())
        }
    return [_sorted(each) for each in value] if isinstance(value, list) else value
