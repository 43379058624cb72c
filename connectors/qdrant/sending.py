"""Queries in batches, of a size that the server's strict mode allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.versions import Limits


def send(
    collection: str, limits: Limits, batch: Sequence[models.QueryRequest], **options: Any
) -> Steps[list[list[models.ScoredPoint]]]:
    """Send a batch of queries, in several where strict mode bounds it; options are the call's."""
    answers: list[list[models.ScoredPoint]] = []
    step = int(min(max(1, len(batch)), limits.search_batch))
    for start in range(0, len(batch), step):
        some = list(batch[start : start + step])
        arguments = {"collection_name": collection, "requests": some, **options}
        found = yield Call("query_batch_points", arguments)
        answers += [each.points for each in found]
    return answers
