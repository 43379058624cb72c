"""What a collection can be filtered by: its fields, and those that its strict mode lets be asked.

Knows nothing of clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.dates import Span
from retrieve_rerank.connectors.field_types import LIKELY_DATE, add_fields
from retrieve_rerank.connectors.filter_values import Wanted
from retrieve_rerank.connectors.filters import Clause, Condition, KnownFields, Missing
from retrieve_rerank.connectors.qdrant import requests
from retrieve_rerank.connectors.qdrant.server import Call, Steps
from retrieve_rerank.connectors.qdrant.state import State
from retrieve_rerank.connectors.records import path_key
from retrieve_rerank.errors import LimitExceededError

_FOUND = 3  # points that tell the type of a field that the sample lacked


def known_fields(state: State) -> KnownFields:
    """Return the fields that are known of a collection, by a sample if it is others'."""
    if state.ours:
        return KnownFields(state.fields)
    return KnownFields(
        {
            name: {path: LIKELY_DATE if kind == "date" else kind for path, kind in paths.items()}
            for name, paths in state.fields.items()
        }
    )


def look_for(state: State, name: str) -> Steps[State]:
    """Learn a field that the sample lacked from documents that have it, if any have."""
    if not state.limits.unindexed:
        raise _unindexed(name, state.layout.path(name), state)  # nor may we look
    keys = [path_key(each) for each in name.split(".")]
    paths = [
        ".".join(keys),  # or a list in between, or a key with dots in it
        *(".".join([*keys[:i], f"{keys[i]}[]", *keys[i + 1 :]]) for i in range(len(keys) - 1)),
        path_key(name),
    ]
    present: list[Any] = [
        models.Filter(must_not=[requests.is_empty(state.layout.path(path))]) for path in paths
    ]
    arguments = {
        "collection_name": state.collection,
        "scroll_filter": models.Filter(should=present),
        "limit": _FOUND,
        "with_payload": state.layout.selector,
    }
    points, _ = yield Call("scroll", arguments)
    fields = {known: dict(at) for known, at in state.fields.items()}
    for each in points:
        add_fields(fields, state.layout.metadata_of(each.payload or {}))
    return replace(state, fields=fields)


def served(clauses: Sequence[Clause], state: State) -> list[Clause]:
    """Keep of clauses what indexes of the payload can answer, where strict mode wants that.

    Raises LimitExceededError where nothing of a condition is left.
    """
    if state.limits.unindexed:
        return list(clauses)
    return [_served(each, state) for each in clauses]


def _served(clause: Clause, state: State) -> Clause:
    if isinstance(clause, Missing):
        for path in clause.paths:
            if state.layout.path(path) not in state.indexed:
                raise _unindexed(clause.field, state.layout.path(path), state)
        return clause
    if not isinstance(clause, Condition):
        return replace(clause, clauses=tuple(_served(each, state) for each in clause.clauses))
    kept: dict[str, tuple[Wanted, ...]] = {}
    for path, wanted in clause.wanted.items():
        key = state.layout.path(path)
        dates = state.indexed.get(key) == "datetime"  # an index that finds times and nothing else
        kept[path] = tuple(each for each in wanted if isinstance(each, Span) == dates)
        if key not in state.indexed or not kept[path]:
            kind = " for dates" if any(isinstance(each, Span) for each in wanted) else ""
            raise _unindexed(clause.field, key, state, kind)
    return Condition(clause.field, kept)


def _unindexed(name: str, key: str, state: State, kind: str = "") -> LimitExceededError:
    return LimitExceededError(
        f"filter {name}: the server's strict mode wants a payload index of {key!r}{kind}; make one "
        "(create_payload_index), or filter by: "
        f"{', '.join(sorted(state.indexed)) or 'nothing, no field has one'}"
    )
