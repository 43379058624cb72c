"""What a collection can be filtered by: its fields, and those that its strict mode lets be asked.

Knows nothing of clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieve_rerank.connectors.dates import Span
from retrieve_rerank.connectors.field_types import LIKELY_DATE, add_fields
from retrieve_rerank.connectors.filter_values import Wanted
from retrieve_rerank.connectors.filters import Clause, Condition, KnownFields, Missing
from retrieve_rerank.connectors.qdrant.lookup import points_with
from retrieve_rerank.connectors.qdrant.paths import paths_of
from retrieve_rerank.connectors.qdrant.server import Steps
from retrieve_rerank.connectors.qdrant.state import State
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
    paths = map(state.layout.path, paths_of(name))
    points = yield from points_with(
        state.collection,
        paths,
        limits=state.limits,
        limit=_FOUND,
        with_payload=state.layout.selector,
    )
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
