from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from retrieve_rerank import Filter, Range
from retrieve_rerank.connectors.field_types import Fields, add_fields, field_types
from retrieve_rerank.connectors.filters import (
    MAX_DEPTH,
    Clause,
    Condition,
    KnownFields,
    clauses,
    matches,
)
from retrieve_rerank.errors import InputError, UnknownFieldError


def fields_of(*metadata: dict[str, Any]) -> Fields:
    fields: Fields = {}
    for each in metadata:
        add_fields(fields, each)
    return fields


def conditions(filter: Filter, fields: Fields) -> list[Clause]:
    return clauses(filter, KnownFields(fields))


def matching(filter: Filter, *metadata: dict[str, Any]) -> list[int]:
    wanted = conditions(filter, fields_of(*metadata))
    return [i for i, each in enumerate(metadata) if matches(each, wanted)]


def test_types_of_several_documents_are_merged() -> None:
    fields = fields_of(
        {"a": 1, "b": "x", "c": True, "d": 1, "e": None, "f": []},
        {"a": 2.5, "b": "y", "c": 1, "d": "one", "g": [1, "x"]},
    )
    assert field_types(fields) == {
        "a": "float",
        "b": "string",
        "c": "mixed",
        "d": "mixed",
        "g": "mixed",
    }


def test_only_news_are_reported_as_a_change() -> None:
    fields = fields_of({"a": 2.5, "b": 1, "c": "x"}, {"c": 1})
    assert not add_fields(fields, {"a": 1, "b": 7, "c": True})
    assert add_fields(fields, {"b": 2.5})
    assert not add_fields(fields, {"b": 1})


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("2020", 2020),
        (2020.0, 2020),
        (str(2**62 + 1), 2**62 + 1),
        (2020, "2020"),
        (0.5, "0.5"),
        ("0.5", 0.5),
        (1, 1.0),
        ("true", True),
        ("FALSE", False),
        (True, "true"),
    ],
)
def test_values_are_converted_to_the_fields_type(wanted: Any, value: Any) -> None:
    assert matching({"field": wanted}, {"field": value}) == [0]
    assert matching({"field": [wanted]}, {"field": value}) == [0]


@pytest.mark.parametrize(
    ("wanted", "value", "holds"),
    [
        ("new", 2020, "integer"),
        (2020.5, 2020, "integer"),
        (True, 1, "integer"),
        ("nan", 0.5, "float"),
        ("inf", 0.5, "float"),
        (1, True, "boolean"),
        ("yes", True, "boolean"),
    ],
)
def test_values_that_the_field_cannot_hold_are_errors(wanted: Any, value: Any, holds: str) -> None:
    with pytest.raises(
        InputError, match=f"filter field: expected {holds}, as the field holds; got "
    ):
        conditions({"field": wanted}, fields_of({"field": value}))


@pytest.mark.parametrize("wanted", [[], (), {"a": 1}, object(), [[1]], [{"a": 1}, 1], b"1"])
def test_what_is_no_filter_value_is_an_error(wanted: Any) -> None:
    with pytest.raises(InputError, match=r"^(filter field: expected|a filter compares)"):
        conditions({"field": wanted}, fields_of({"field": 1}))


@pytest.mark.parametrize(
    ("wanted", "holds", "message"),
    [
        (
            Range(gte="soon"),
            "2024-01-31",
            "expected dates, such as 2024-.*got a range >= 'soon'",
        ),
        (
            Range(gt="a", lt="b"),
            "text",
            "expected dates.*string; got a range > 'a' and < 'b'",
        ),
        (Range(gte=2024), "2024-01-31", "expected dates.* holds date; got a range >= 2024"),
        (Range(lt="2024-01-31"), 5, "expected numbers.* holds integer; got a range < '2024-01-31'"),
        (Range(lt=float("nan")), 5, "expected numbers.*got a range < nan"),
        (Range(gte=True), 5, "expected numbers"),
        (Range(), 5, "expected numbers, as the field holds integer; got a range without bounds"),
        (Range(), "text", "expected dates.*got a range without bounds"),
        (Range(gte=1), True, "expected true or false"),
        ("2024-02-30", "2024-01-31", "expected date, as the field holds; got '2024-02-30'"),
        (date(2024, 1, 1), 5, "expected integer"),
    ],
)
def test_what_a_field_cannot_be_compared_with_is_said(
    wanted: Any, holds: Any, message: str
) -> None:
    with pytest.raises(InputError, match=f"^filter field: {message}"):
        conditions({"field": wanted}, fields_of({"field": holds}))


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ("year=1", "a filter maps fields"),
        ([{"year": 1}], "a filter maps fields"),
        ({"or": []}, "expected a value, values"),
        ({"or": {"year": 1}}, "expected a list of filters under 'or'"),
        ({"or": [{"year": 1}, "year"]}, "a filter maps fields to what they must be; got 'year'"),
        ({"or": [{"year": 1}, {}]}, "expected filters under 'or'; got {} among them"),
        ({"not": {}}, "expected filters under 'not'"),
        (
            {"$or": [{"year": 1}]},
            "filter \\$or: expected .*stand under 'and', 'or' and 'not'",
        ),
        ({"year": {"gte": 1}}, "filter year: expected a value, values, a Range or None"),
    ],
)
def test_what_is_no_filter_is_explained(filter: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        conditions(filter, fields_of({"year": 1, "or": 1, "not": 1}))


def test_filters_may_not_be_nested_without_end() -> None:
    filter: Filter = {"year": 1}
    for _ in range(MAX_DEPTH):
        filter = {"not": filter}
    assert matching(filter, {"year": 1}, {"year": 2}) == [0]  # an even number of them
    for _ in range(5000):
        filter = {"and": [filter]}
    with pytest.raises(InputError, match=f"{MAX_DEPTH} levels deep at most"):
        conditions(filter, fields_of({"year": 1}))


def test_a_field_that_no_document_has_is_unknown_wherever_it_is_named() -> None:
    fields = fields_of({"year": 1, "author": {"name": "x"}})
    for filter in ({"colour": None}, {"not": {"colour": 1}}, {"or": [{"year": 1}, {"colour": 1}]}):
        with pytest.raises(UnknownFieldError, match="no field 'colour'"):
            conditions(filter, fields)
    assert conditions({"author": None}, fields) == conditions({"author": None}, fields)


def test_dates_that_share_a_field_with_other_texts_make_it_one_of_texts() -> None:
    dates = fields_of({"a": "2024-01-31", "b": "2024-01", "c": ["2024-01-31 10:00", None]})
    assert field_types(dates) == {"a": "date", "b": "string", "c": "date"}
    assert add_fields(dates, {"a": "soon", "c": 5})
    assert field_types(dates) == {"a": "string", "b": "string", "c": "mixed"}
    assert not add_fields(dates, {"a": "2024-02-01", "c": "2024-02-01"})


def test_an_unknown_field_is_an_error_that_names_the_known_ones() -> None:
    fields = fields_of({"year": 1, "author": {"name": "x"}})
    with pytest.raises(UnknownFieldError, match=r"'colour' .*; known: author\.name, year"):
        conditions({"colour": 1}, fields)
    with pytest.raises(UnknownFieldError, match="no metadata at all"):
        conditions({"year": 1}, {})
    with pytest.raises(UnknownFieldError, match="and 10 more"):
        conditions({"year": 1}, fields_of({f"f{i}": i for i in range(30)}))


def test_all_fields_must_match_and_any_of_several_values() -> None:
    documents: list[dict[str, Any]] = [
        {"year": 1990, "kind": "a"},
        {"year": 2000, "kind": "b"},
        {"year": 2010},
    ]
    assert matching({"year": [1990, 2010]}, *documents) == [0, 2]
    assert matching({"year": [1990, 2000], "kind": "b"}, *documents) == [1]
    assert matching({}, *documents) == [0, 1, 2]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Range(gte=2), [1, 2]),
        (Range(gt=2), [2]),
        (Range(lte=2), [0, 1]),
        (Range(lt=2), [0]),
        (Range(gte=1.5, lt=3), [1]),
    ],
)
def test_ranges_include_or_exclude_their_bounds(bounds: Range, expected: list[int]) -> None:
    documents = [{"n": 1}, {"n": 2}, {"n": 3}, {"m": 9}]
    assert matching({"n": bounds}, *documents) == expected


def test_true_is_not_one_and_text_is_no_number() -> None:
    documents: list[dict[str, Any]] = [{"x": True}, {"x": 1}, {"x": "1"}, {"x": "true"}]
    assert matching({"x": True}, *documents) == [0, 3]
    assert matching({"x": 1}, *documents) == [1, 2]
    assert matching({"x": Range(gte=0)}, *documents) == [1]


def test_a_field_may_be_a_list_here_and_an_object_there() -> None:
    documents: list[dict[str, Any]] = [
        {"by": {"name": "Ada"}},
        {"by": [{"name": "Ada"}, {"name": "Bob"}]},
        {"by": [{"name": "Bob"}]},
    ]
    assert matching({"by.name": "Ada"}, *documents) == [0, 1]
    fields = fields_of(*documents)
    assert conditions({"by.name": "Ada"}, fields) == [
        Condition("by.name", {"by.name": ("Ada",), "by[].name": ("Ada",)})
    ]
