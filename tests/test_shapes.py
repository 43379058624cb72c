"""Shapes of JSON values, and what is said of others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieve_rerank.network.shapes import (
    DEEPEST,
    Check,
    Shape,
    WrongShapeError,
    each,
    either,
    every,
    filled,
    first,
    matches,
    maybe,
    shallow,
    shape,
    values,
    where,
)

HITS = shape({"hits": [{"id": str, "score": float, "more?": maybe(values(int))}]})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_of_a_shape_passes() -> None:
    hits = [
        {"id": "a", "score": 1, "other": None},
        {"id": "b", "score": 0.5, "more": {"x": 1}},
        {"id": "c", "score": -0.5, "more": None},
    ]
    matches({"hits": hits, "took": 3}, HITS)
    matches({"hits": []}, HITS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the answer is null; expected an object"),
        ([], "the answer is an empty list; expected an object"),
        ("<p>\n log in", "the answer is the text '<p> log in'; expected an object"),
        ({}, "the answer has no hits"),
        ({"hits": None}, "the answer.hits is null; expected a list"),
        ({"hits": [{"id": "a", "score": 1}, []]}, "the answer.hits[1] is an empty list; expected"),
        ({"hits": [{"id": "a", "score": 1}, {"id": "b"}]}, "the answer.hits[1] has no score"),
        ({"hits": [{"id": 7, "score": 1}]}, "the answer.hits[0].id is 7; expected a text"),
        ({"hits": [{"id": "a", "score": True}]}, "[0].score is true; expected a number"),
        ({"hits": [{"id": "a", "score": float("inf")}]}, ".score is Infinity; expected a number"),
        (
            {
                "hits": [
                    {"id": "a", "score": 1},
                    {"id": "b", "score": 1, "more": {"x": 1, "y": "2"}},
                ]
            },
            "the answer.hits[1].more.y is the text '2'; expected a whole number",
        ),
    ],
)
def test_what_is_of_another_shape_is_named_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(WrongShapeError) as raised:
        matches(value, HITS)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("of", "good", "bad", "message"),
    [
        (first({"a": int}), [{"a": 1}, 7], [{"a": "x"}], "[0].a is the text"),
        (first(int), [1], [], "is an empty list; expected at least one entry"),
        (filled(values(int)), {"a": 1}, {}, "is an empty object; expected at least one entry"),
        (each(lambda v: v == 1, "one"), 1, 2, "is 2; expected one"),
        ([where(lambda v: v != 0, str)], [0, "a"], [0, "a", 7], "[2] is 7; expected a text"),
        ([either(lambda v: v == 0, int, str)], [0, "a"], [0, 7], "[1] is 7; expected a text"),
        (every(dict, shallow), {"a": nested(DEEPEST - 1)}, {"a": nested(DEEPEST)}, "levels deep"),
        ([[int]], [[], [1], [2, 3]], [[], [1], [2, "x"]], "[2][1] is the text 'x'"),
    ],
)
def test_each_kind_of_check(of: Shape, good: Any, bad: Any, message: str) -> None:
    matches(good, shape(of))
    with pytest.raises(WrongShapeError) as raised:
        matches(bad, shape(of))
    assert message in str(raised.value)


def test_a_shape_within_itself_ends_with_the_value() -> None:
    def field(those: Any) -> None:
        tree(those)

    tree: Check = shape({"name": str, "fields?": values(field)})
    matches({"name": "a", "fields": {"b": {"name": "b", "fields": {}}}}, tree)
    value: Any = {"name": "leaf"}
    for _ in range(5000):
        value = {"name": "a", "fields": {"b": value}}
    with pytest.raises(WrongShapeError, match="nested too deeply"):
        matches(value, tree)


def test_the_keys_of_an_answer_do_not_make_a_message_long() -> None:
    with pytest.raises(WrongShapeError) as raised:
        matches({"k" * 10_000: {"l" * 10_000: "x" * 10_000}}, values(values(int)))
    assert len(str(raised.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["hits", "id", "score", "more"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(JSON)
def test_any_value_passes_or_is_refused(value: Any) -> None:
    try:
        matches(value, HITS)
    except WrongShapeError:
        return
    for hit in value["hits"]:
        assert (hit["id"], float(hit["score"])) is not None
