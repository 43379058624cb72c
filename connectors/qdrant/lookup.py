"""Looking in a collection for what a sample of its points lacked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.fields import text_statistics
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.detection import indexed_paths
from retrieve_rerank.connectors.qdrant.layout import Layout, Lexical
from retrieve_rerank.connectors.qdrant.paths import paths_of
from retrieve_rerank.connectors.qdrant.payload_filter import is_empty
from retrieve_rerank.connectors.qdrant.versions import Limits
from retrieve_rerank.errors import ConnectorError, UnknownFieldError
from retrieve_rerank.text.field_paths import as_text, value_at

_WITH_VECTOR = 10  # points that tell what sparse vectors are of


def points_with(
    collection: str,
    paths: Iterable[str],
    *,
    limits: Limits,
    limit: int,
    with_payload: models.WithPayloadInterface = True,
) -> Steps[list[models.Record]]:
    """Find points of which a payload has anything at one of these paths."""
    there: list[Any] = [models.Filter(must_not=[is_empty(path)]) for path in paths]
    if not there:
        return []
    arguments = {
        "collection_name": collection,
        "scroll_filter": models.Filter(should=there[: int(min(len(there), limits.conditions))]),
        "limit": int(min(limit, limits.query)),
        "with_payload": with_payload,
    }
    points, _ = yield Call("scroll", arguments)
    return list(points)


def points_with_vector(collection: str, name: str) -> Steps[list[models.Record]]:
    """Find points that have a sparse vector of this name, with it."""
    arguments = {
        "collection_name": collection,
        "scroll_filter": models.Filter(must=[models.HasVectorCondition(has_vector=name)]),
        "limit": _WITH_VECTOR,
        "with_payload": True,
        "with_vectors": [name],
    }
    points, _ = yield Call("scroll", arguments)
    return list(points)


def confirm(
    collection: str, info: models.CollectionInfo, sample: Sequence[models.Record], name: str
) -> Steps[list[models.Record]]:
    """Look for a field with texts of which the user speaks; return the points that it took.

    Raises UnknownFieldError where no point has it. Strict mode may forbid to look: then the user
    is believed.
    """
    limits, indexed = Limits.of(info), indexed_paths(info)
    if not sample or any(_has_text(each, name) for each in sample):
        return []
    paths = list(paths_of(name))
    if not limits.unindexed and not (paths := [each for each in paths if each in indexed]):
        return []
    found = yield from points_with(collection, paths, limits=limits, limit=1)
    if any(_has_text(each, name) for each in found):
        return found
    texts = text_statistics([each.payload or {} for each in sample])
    raise UnknownFieldError(
        f"no text is in the field {name!r} of the documents; there is text in: "
        f"{', '.join(each.name for each in texts) or 'none'}"
    )


def _has_text(point: models.Record, name: str) -> bool:
    return bool(as_text(value_at(point.payload or {}, name)))


def probe_text_index(collection: str, layout: Layout) -> Steps[Layout]:
    """Ask local mode for a text index by searching it: it does not list its indexes."""
    probe = models.QueryRequest(query=models.TextQuery(text="a"), using=layout.text, limit=1)
    try:
        yield Call("query_batch_points", {"collection_name": collection, "requests": [probe]})
    except ConnectorError:
        return layout
    return replace(layout, lexical=Lexical("text-index", layout.text))
