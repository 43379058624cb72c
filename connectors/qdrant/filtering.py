"""What a collection can be filtered by: its fields, and those that strict mode lets be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieve_rerank.base import Range
from retrieve_rerank.connectors.dates import Span
from retrieve_rerank.connectors.field_types import LIKELY_DATE, add_fields, shown
from retrieve_rerank.connectors.filter_values import Wanted
from retrieve_rerank.connectors.filters import (
    Clause,
    Condition,
    KnownFields,
    Missing,
    NoneOf,
    conditions,
    matches,
)
from retrieve_rerank.connectors.qdrant.client import Steps
from retrieve_rerank.connectors.qdrant.lookup import points_with
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.paths import paths_of
from retrieve_rerank.connectors.qdrant.payload_filter import answers
from retrieve_rerank.connectors.records import type_of
from retrieve_rerank.errors import LimitExceededError
from retrieve_rerank.types import Hit

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
    return [_served(each, state, negated=False) for each in clauses]


def worded(clauses: Sequence[Clause], state: State) -> list[str]:
    """List the fields that strict mode lets be asked for by the words of a text index alone."""
    if state.limits.unindexed:
        return []
    return sorted({each.field for each in conditions(clauses) if _by_words(each, state)})


def equal_alone(
    hits: Sequence[Hit], clauses: Sequence[Clause], names: Sequence[str], *, top_k: int
) -> tuple[list[Hit], tuple[str, ...]]:
    """Leave out of what was found by words of these fields what is not as wanted, and say so."""
    kept = [hit for hit in hits if matches(hit.document.metadata, clauses)]
    placed = [replace(hit, rank=place) for place, hit in enumerate(kept[:top_k], start=1)]
    if len(kept) == len(hits) or len(placed) == top_k:
        return placed, ()
    return placed, (
        f"the server's strict mode finds {', '.join(names)} by words alone, for want of a keyword "
        f"index: {len(hits) - len(kept)} of {len(hits)} hits are left out that have the words and "
        "are not equal",
    )


def _served(clause: Clause, state: State, *, negated: bool) -> Clause:
    if isinstance(clause, Missing):
        for path in clause.paths:
            if state.layout.path(path) not in state.indexed:
                raise _unindexed(clause.field, state.layout.path(path), state)
        return clause
    if not isinstance(clause, Condition):
        negated ^= isinstance(clause, NoneOf)
        inner = tuple(_served(each, state, negated=negated) for each in clause.clauses)
        return replace(clause, clauses=inner)
    if negated and _by_words(clause, state):  # who has the words may not be who is meant
        raise _unindexed(clause.field, state.layout.path(next(iter(clause.wanted))), state, "texts")
    kept = {
        path: tuple(each for each in wanted if answers(index, each))
        for path, wanted in clause.wanted.items()
        if (index := state.info.payload_schema.get(state.layout.path(path))) is not None
    }
    for path, wanted in clause.wanted.items():
        alike = (path, f"{path}[]", path.removesuffix("[]"))  # to a list's values, all the same
        if not any(map(kept.get, alike)):
            raise _unindexed(clause.field, state.layout.path(path), state, _kind(wanted))
    return Condition(clause.field, {path: each for path, each in kept.items() if each})


def _by_words(condition: Condition, state: State) -> bool:
    return any(
        state.indexed.get(state.layout.path(path)) == "text"
        and any(isinstance(each, str) for each in wanted)
        for path, wanted in condition.wanted.items()
    )


def _kind(wanted: Sequence[Wanted]) -> str:
    """Say what an index would have to find."""
    if any(isinstance(each, Span) for each in wanted):
        return "dates"
    if any(isinstance(each, Range) for each in wanted):
        return "ranges of numbers"
    return f"{shown(type_of(each))}s" if isinstance(each := wanted[0], str | int | float) else ""


def _unindexed(name: str, key: str, state: State, kind: str = "") -> LimitExceededError:
    indexes = ", ".join(f"{path} ({of})" for path, of in sorted(state.indexed.items()))
    return LimitExceededError(
        f"filter {name}: the server's strict mode wants a payload index of {key!r}"
        f"{f' for {kind}' if kind else ''}; make one (create_payload_index), or filter by: "
        f"{indexes or 'nothing, no field has one'}"
    )
