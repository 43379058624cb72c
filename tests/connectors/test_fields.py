"""Which field is what, in an index that others made."""

from __future__ import annotations

from typing import Any

import pytest

from retrieve_rerank.connectors.fields import (
    VectorField,
    pick_text,
    pick_title,
    pick_vector,
    text_statistics,
)
from retrieve_rerank.errors import IndexMismatchError, SchemaError, UnknownFieldError

LONG = "a passage of some length " * 20


def text_field(*samples: dict[str, Any]) -> str:
    return pick_text(text_statistics(samples))


def test_texts_are_measured_by_path_and_share() -> None:
    found = text_statistics([{"a": "four", "m": {"b": ["x", "yz"], "n": 3}}, {"a": "eleven char"}])
    assert [(f.name, f.mean_length, f.share) for f in found] == [("a", 7.5, 1.0), ("m.b", 4, 0.5)]


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        ({"text": LONG, "metadata": {"source": "a.md"}}, "text"),
        ({"page_content": "short", "metadata": {"summary": LONG}}, "page_content"),
        ({"headline": "a headline", "story": LONG}, "story"),
        ({"content": LONG, "description": "a line"}, "content"),
    ],
)
def test_the_text_is_told_by_its_name_or_its_length(sample: dict[str, Any], name: str) -> None:
    assert text_field(sample) == name


@pytest.mark.parametrize(
    "sample",
    [{"question": LONG, "answer": LONG}, {"body": LONG, "abstract": LONG}],
)
def test_two_fields_that_may_be_the_text_are_named(sample: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=r"500 characters on average.*--text-field"):
        text_field(sample)


def test_an_index_without_texts_is_an_error() -> None:
    with pytest.raises(SchemaError, match="no field holds a text"):
        text_field({"n": 1})
    with pytest.raises(SchemaError, match="there are: rare"):
        text_field({"rare": LONG}, {"n": 1}, {"n": 2})


def test_fields_that_cannot_be_the_text_are_left_out() -> None:
    found = text_statistics([{"text": LONG, "story": LONG}])
    assert pick_text(found, among=lambda name: name == "story") == "story"


def test_the_title_is_told_by_its_name() -> None:
    assert pick_title(["metadata.source", "metadata.title", "text"]) == "metadata.title"
    assert pick_title(["text", "n"]) is None


A, B = VectorField("a", 384, "cosine"), VectorField("", 768, "dot")


def test_vectors_are_picked_by_name_by_size_or_as_the_only_ones() -> None:
    assert pick_vector([], asked=None, dimension=3) is None
    assert pick_vector([A], asked=None, dimension=None) is A
    assert pick_vector([A, B], asked="", dimension=None) is B
    assert pick_vector([A, B], asked=None, dimension=384) is A


def test_vectors_that_cannot_be_picked_are_errors_that_list_them() -> None:
    with pytest.raises(SchemaError, match=r"a \(384 dimensions\), unnamed \(768.*--vector-field"):
        pick_vector([A, B], asked=None, dimension=None)
    with pytest.raises(UnknownFieldError, match=r"no vectors named 'c'; it has: a \(384"):
        pick_vector([A, B], asked="c", dimension=None)
    for asked in (None, "a"):
        with pytest.raises(IndexMismatchError, match=r"has 5 dimensions; .* a \(384.*--encoder"):
            pick_vector([A], asked=asked, dimension=5)
