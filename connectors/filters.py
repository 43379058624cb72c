"""Filters against the fields that an index has: unknown names refused, values converted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from retrieve_rerank.base import Filter
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.filter_values import Wanted, converted, fits, unfit
from retrieve_rerank.connectors.records import Leaf, leaves
from retrieve_rerank.errors import InputError, UnknownFieldError

MAX_DEPTH = 10
"""Of filters within filters. Elasticsearch takes 30 levels, of which one of ours can make two."""

_NAMED_IN_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Condition:
    """At any of a field's paths there is a value as it is wanted there."""

    field: str
    wanted: Mapping[str, tuple[Wanted, ...]]


@dataclass(frozen=True, slots=True)
class Missing:
    """At none of a field's paths there is a value; null is none."""

    field: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these clauses holds."""

    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these clauses holds."""

    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """None of these clauses holds."""

    clauses: tuple[Clause, ...]


Clause: TypeAlias = Condition | Missing | AllOf | AnyOf | NoneOf

_CONNECTIVES: Mapping[str, Callable[[tuple[Clause, ...]], Clause]] = {
    "and": AllOf,
    "or": AnyOf,
    "not": NoneOf,
}


class FieldPaths(Protocol):
    """Where an index keeps its fields; both raise UnknownFieldError for what it has not."""

    def paths(self, name: str) -> Mapping[str, str]:
        """Return where a field's values are: path -> their type, as in `field_types`."""

    def presence(self, name: str) -> Sequence[str]:
        """Return the paths of which one has a value wherever the field, or one in it, is there."""


@dataclass(frozen=True, slots=True)
class KnownFields:
    """The fields that were found in documents."""

    fields: Fields

    def paths(self, name: str) -> Mapping[str, str]:
        """Return where a field's values are: path -> their type."""
        if name not in self.fields:
            raise unknown_field(name, self.fields)
        return self.fields[name]

    def presence(self, name: str) -> Sequence[str]:
        """Return the paths of a field, or of those in it."""
        inside = (n for n in self.fields if n == name or n.startswith(f"{name}."))
        if found := [path for each in inside for path in self.fields[each]]:
            return found
        raise unknown_field(name, self.fields)


def clauses(filter: Filter | None, fields: FieldPaths) -> list[Clause]:
    """Check a filter and convert its values to the types that its fields hold; all must hold.

    Raises UnknownFieldError for a field that the index has not, and InputError for a value that
    the field cannot hold, or for what is no filter.
    """
    if filter is None:
        return []
    field_names(filter)  # which checks all of its form, before anything is looked for
    return list(_clauses(filter, fields))


def field_names(filter: Filter, *, depth: int = 0) -> list[str]:
    """List the fields that a filter names; raise InputError for what is no filter."""
    if not isinstance(filter, Mapping):
        raise InputError(f"a filter maps fields to what they must be; got {filter!r:.200}")
    if depth > MAX_DEPTH:
        raise InputError(f"filters within filters go {MAX_DEPTH} levels deep at most")
    names: list[str] = []
    for name, wanted in filter.items():
        inner = _filters(name, wanted)
        if inner is None:
            names.append(name)
        for each in inner or ():
            if not each:
                raise InputError(f"expected filters under {name!r}; got {each!r} among them")
            names += field_names(each, depth=depth + 1)
    return names


def conditions(clauses: Iterable[Clause]) -> Iterator[Condition]:
    """List the conditions within clauses."""
    for clause in clauses:
        if isinstance(clause, Condition):
            yield clause
        elif not isinstance(clause, Missing):
            yield from conditions(clause.clauses)


def unknown_field(name: str, known: Iterable[str]) -> UnknownFieldError:
    """Say that an index has no such field, and which it has."""
    names = sorted(known)
    if not names:
        return UnknownFieldError(
            f"the index has no field {name!r} to filter by, and no metadata at all"
        )
    rest = len(names) - _NAMED_IN_ERRORS
    listed = ", ".join(names[:_NAMED_IN_ERRORS]) + (f" and {rest} more" if rest > 0 else "")
    return UnknownFieldError(f"the index has no field {name!r} to filter by; known: {listed}")


def matches(metadata: Mapping[str, Any], clauses: Sequence[Clause]) -> bool:
    """Tell whether a document's metadata meets all clauses."""
    return not clauses or _holds(AllOf(tuple(clauses)), list(leaves(metadata)))


def _holds(clause: Clause, values: Sequence[Leaf]) -> bool:
    if isinstance(clause, Condition):
        return any(
            fits(leaf.value, each) for leaf in values for each in clause.wanted.get(leaf.path, ())
        )
    if isinstance(clause, Missing):
        return not any(leaf.path in clause.paths for leaf in values)
    held = (_holds(each, values) for each in clause.clauses)
    if isinstance(clause, NoneOf):
        return not any(held)
    return all(held) if isinstance(clause, AllOf) else any(held)


def _clauses(filter: Filter, fields: FieldPaths) -> Iterator[Clause]:
    for name, wanted in filter.items():
        inner = _filters(name, wanted)
        if inner is None:
            yield _of_field(name, wanted, fields)
            continue
        parts = [tuple(_clauses(each, fields)) for each in inner]
        yield _CONNECTIVES[name](tuple(p[0] if len(p) == 1 else AllOf(p) for p in parts))


def _filters(name: str, wanted: Any) -> Sequence[Filter] | None:
    """Return the filters under `and`, `or` and `not`; None for a field of whatever name.

    Nothing that a field can be asked for is a mapping, so that the two cannot be confused.
    """
    several = isinstance(wanted, list | tuple)
    if not any(isinstance(each, Mapping) for each in (wanted if several else [wanted])):
        return None
    if name not in _CONNECTIVES:
        raise InputError(
            f"filter {name}: expected a value, values, a Range or None; got {wanted!r:.200}. "
            "Filters within filters stand under 'and', 'or' and 'not'"
        )
    if not several and name != "not":
        raise InputError(f"expected a list of filters under {name!r}; got {wanted!r:.200}")
    return wanted if several else [wanted]


def _of_field(name: str, wanted: Any, fields: FieldPaths) -> Clause:
    options = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    if not options:
        raise InputError(
            f"filter {name}: expected a value, values, a Range or None; got {wanted!r}"
        )
    found: list[Clause] = []
    if any(each is None for each in options):
        found.append(Missing(name, tuple(fields.presence(name))))
    if values := [each for each in options if each is not None]:
        found.append(_condition(name, values, fields.paths(name)))
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _condition(name: str, values: Sequence[Any], paths: Mapping[str, str]) -> Condition:
    wanted = {
        path: tuple(new for value in values for new in converted(value, kind))
        for path, kind in paths.items()
    }
    if not any(wanted.values()):
        unfitting = values[0] if len(values) == 1 else list(values)
        raise unfit(name, unfitting, set(paths.values()))
    return Condition(name, {path: each for path, each in wanted.items() if each})
