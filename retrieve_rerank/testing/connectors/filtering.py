"""Searches among the documents whose metadata match."""

from __future__ import annotations

from typing import Any

from retrieve_rerank.base import Filter, Range
from retrieve_rerank.errors import InputError, UnknownFieldError
from retrieve_rerank.testing.connectors.subject import WINGS, Subject, assert_raises, ids
from retrieve_rerank.types import Document

FILTERS: list[tuple[Filter, set[str]]] = [
    ({"year": 1960}, {"drag"}),
    ({"year": "1960"}, {"drag"}),
    ({"year": [1950, 1980]}, {"lift", "heat"}),
    ({"year": Range(gte=1960, lt=1980)}, {"drag", "both"}),
    ({"year": Range(gte=1950, gt=1960)}, {"both", "heat"}),
    ({"year": Range(gte=1980, gt=1950, lte=1990, lt=1999)}, {"heat"}),
    ({"year": Range(lte=1970, lt=1970)}, {"lift", "drag"}),
    ({"year": Range(gt=-1e30, lt=2**70)}, {"lift", "drag", "both", "heat"}),
    ({"year": Range(gte=2**63)}, set()),
    ({"year": Range(lte=-1e30)}, set()),
    ({"author.name": "Ada"}, {"lift"}),
    ({"author.name": ["Ada", "Bob"], "year": Range(gt=1955)}, {"drag"}),
    ({"tags": "b"}, {"both", "heat"}),
    ({"open": True}, {"heat"}),
    ({"open": "true"}, {"heat"}),
    ({"open": False}, set()),
    ({"year": 1}, set()),
    ({}, {"lift", "drag", "both", "heat"}),
]


class FilteringConformance(Subject):
    """What `filter` does to a search."""

    def test_filters_keep_what_matches(self) -> None:
        """Values, any of several, ranges, nested fields, all conditions at once."""
        with self.opened(WINGS) as connector:
            for filter, expected in FILTERS:
                found = connector.search("lift drag heat", top_k=10, filter=filter)
                assert (filter, set(ids(found))) == (filter, expected)

    def test_filters_do_not_shorten_the_list(self) -> None:
        """They are applied before the list is cut, not after."""
        documents = [Document(f"d{i}", "wing", {"odd": i % 2 == 1}) for i in range(400)]
        with self.opened(documents) as connector:
            hits = connector.search("wing", top_k=150, filter={"odd": True})
            assert len(hits) == 150
            assert all(hit.document.metadata["odd"] for hit in hits)

    def test_filters_see_every_kind_of_value_and_level(self) -> None:
        """A field may hold values of several types; one spelt as the value is found."""
        values: list[Any] = [
            *(1, 1.0, 1.5, "1", True, "true", [1, "x"]),
            *([{"a": 1}], {"a": "1"}, None, 2**62, -0.0, [-3, -7]),
        ]
        documents = [Document(f"d{i}", "wing", {"v": value}) for i, value in enumerate(values)]
        with self.opened(documents) as connector:
            for filter, expected in (
                ({"v": 1}, {"d0", "d1", "d3", "d6"}),
                ({"v": "x"}, {"d6"}),
                ({"v": True}, {"d4", "d5"}),
                ({"v": Range(gte=1, lt=2)}, {"d0", "d1", "d2", "d6"}),
                ({"v.a": 1}, {"d7", "d8"}),
                ({"v": 2**62}, {"d10"}),
                ({"v": 0}, {"d11"}),
                ({"v": -0.0}, {"d11"}),
                ({"v": Range(gte=0, lt=1)}, {"d11"}),
                ({"v": Range(gte=-7, gt=-7, lt=-3)}, set()),
            ):
                found = connector.search("wing", top_k=50, filter=filter)
                assert (filter, set(ids(found))) == (filter, expected)

    def test_an_unknown_filter_field_is_an_error_that_names_the_known(self) -> None:
        """Nested ones by their dotted names."""
        with self.opened(WINGS) as connector:
            assert_raises(
                UnknownFieldError,
                lambda: connector.search("wing", top_k=1, filter={"colour": 1950}),
                *("'colour'", "known: author.name, open, tags, year"),
            )

    def test_a_filter_value_that_the_field_cannot_hold_is_an_error(self) -> None:
        """It names the field, its type and the value."""
        with self.opened(WINGS) as connector:
            assert_raises(
                InputError,
                lambda: connector.search("wing", top_k=1, filter={"year": "new"}),
                *("year", "expected integer", "got 'new'"),
            )
