"""Filters in the server's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrieve_rerank.base import Filter, Range
from retrieve_rerank.connectors.dates import MICROSECOND, MILLISECOND, Span
from retrieve_rerank.connectors.field_types import Fields
from retrieve_rerank.connectors.filter_values import Wanted, bounds
from retrieve_rerank.connectors.filters import (
    AllOf,
    Clause,
    Condition,
    Missing,
    NoneOf,
    clauses,
    unknown_field,
)
from retrieve_rerank.errors import UnknownFieldError

Body = dict[str, Any]

_ISO = "strict_date_optional_time_nanos"
_LAST_NS = 2**63 - 1  # of date_nanos, which begins in 1970


@dataclass(frozen=True, slots=True)
class FilterFields:
    """What can be filtered by."""

    fields: Fields
    """Name, as in a hit's metadata -> paths in the index -> type of the values there."""
    others: Fields = field(default_factory=dict)
    """The same of further names: `title.keyword`, where `title` is the field."""
    present: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> paths of which one is there wherever the field is."""
    nested: Mapping[str, str] = field(default_factory=dict)
    """Path -> the field of type nested that it is in."""
    flattened: Mapping[str, str] = field(default_factory=dict)
    """Name -> path of an object of which every key can be filtered by."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Name -> why its values cannot be compared: "is of type geo_point"."""
    numbered: frozenset[str] = frozenset()
    """Paths of dates that are kept as microseconds since 1970."""
    nanoseconds: frozenset[str] = frozenset()
    """Paths of type date_nanos; other dates are kept to the millisecond."""
    bits: Mapping[str, int] = field(default_factory=dict)
    """Path of whole numbers -> how many bits these have, of those that take no wider bounds."""
    root: str = ""
    """Path that all names are relative to, with a dot at its end."""

    def clauses(self, filter: Filter | None) -> list[Body]:
        """Word a filter, one clause for each of its fields.

        Raises UnknownFieldError and InputError as the filters of all backends do.
        """
        return [self._worded(each) for each in clauses(filter, self)]

    def paths(self, name: str) -> Mapping[str, str]:
        """Return where a field's values are: path -> their type."""
        for known in (name, name.removeprefix(self.root)):
            if found := self.fields.get(known) or self.others.get(known):
                return found
            if inside := self._within_flattened(known):
                return {inside: "keyword"}
            if known in self.refused:
                raise UnknownFieldError(
                    f"{name!r} {self.refused[known]}, so that it cannot be filtered by"
                )
        raise unknown_field(name, self.fields)

    def presence(self, name: str) -> Sequence[str]:
        """Return the paths of which one is there wherever the field, or one in it, is."""
        for known in (name, name.removeprefix(self.root)):
            inside = (n for n in self.present if n == known or n.startswith(f"{known}."))
            if found := [path for each in inside for path in self.present[each]]:
                return found
            if within := self._within_flattened(known):
                return [within]
        return list(self.paths(name))

    def _within_flattened(self, name: str) -> str | None:
        for parent, path in self.flattened.items():
            if name.startswith(f"{parent}."):
                return path + name.removeprefix(parent)
        return None

    def _worded(self, clause: Clause) -> Body:
        if isinstance(clause, Condition):
            return _any(
                [
                    self._at(path, query)
                    for path, wanted in clause.wanted.items()
                    for query in self._queries(path, wanted)
                ]
            )
        if isinstance(clause, Missing):
            there = [self._at(path, {"exists": {"field": path}}) for path in clause.paths]
            # A value that is too long or malformed for the index is there all the same.
            there.append({"terms": {"_ignored": list(clause.paths)}})
            return {"bool": {"must_not": there}}
        inner = [self._worded(each) for each in clause.clauses]
        if isinstance(clause, NoneOf):
            return {"bool": {"must_not": inner}}
        return _all(inner) if isinstance(clause, AllOf) else _any(inner)

    def _queries(self, path: str, wanted: Sequence[Wanted]) -> Iterator[Body]:
        values = [each for each in wanted if not isinstance(each, Range | Span)]
        if values:
            yield {"terms": {path: [each for each in values if self._holds(path, each)]}}
        for each in wanted:
            if isinstance(each, Range):
                yield _all([{"range": {path: ends}} for ends in self._ranges(path, each)])
            elif isinstance(each, Span):
                yield {"range": {path: self._times(path, each)}}

    def _ranges(self, path: str, wanted: Range) -> list[Body]:
        """Word bounds as ranges with one at a side, as the server takes no more.

        What is in all of them is in the one of the strictest bounds, so that of several values
        one must be within all bounds.
        """
        ends = [self._end(path, at, bound) for at, bound in bounds(wanted).items()]
        lower = [{at: bound} for at, bound in ends if at[0] == "g"] or [{}]
        upper = [{at: bound} for at, bound in ends if at[0] == "l"] or [{}]
        return [{**least, **most} for least in lower for most in upper]

    def _end(self, path: str, at: str, bound: Any) -> tuple[str, Any]:
        """Move a bound that is beyond what the field can hold, all that it excludes staying so."""
        if self._holds(path, bound):
            return at, bound
        most = 2 ** (self.bits[path] - 1) - 1
        if bound > most:
            return ("gt" if at[0] == "g" else "lte"), most
        return ("gte" if at[0] == "g" else "lt"), -most - 1

    def _holds(self, path: str, number: Any) -> bool:
        limit = 2 ** (self.bits[path] - 1) if path in self.bits else None
        return limit is None or -limit <= number < limit

    def _times(self, path: str, span: Span) -> Body:
        if path in self.numbered:
            gte, lt = span.rounded(MICROSECOND)
            return {"gte": gte // MICROSECOND, "lt": lt // MICROSECOND}
        if path in self.nanoseconds:
            span = Span(max(0, min(span.gte, _LAST_NS)), max(0, min(span.lt, _LAST_NS)))
        else:
            span = span.rounded(MILLISECOND)
        return {**span.texts(), "format": _ISO}

    def _at(self, path: str, query: Body) -> Body:
        for inside, nested in self.nested.items():
            if path == inside or path.startswith(f"{inside}."):
                return {"nested": {"path": nested, "query": query}}
        return query


def _all(queries: Sequence[Body]) -> Body:
    return queries[0] if len(queries) == 1 else {"bool": {"filter": list(queries)}}


def _any(queries: Sequence[Body]) -> Body:
    if len(queries) == 1:
        return queries[0]
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}
