"""Dotted names of fields: one rule for templates, boosts, filters and sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank import Connector, Document, Template
from retrieve_rerank.data.records import Fields, Found, read_document
from retrieve_rerank.rerankers.collapse import Collapse
from retrieve_rerank.rerankers.metadata import Popularity
from retrieve_rerank.text.field_paths import as_text, value_at, without
from tests.connectors.conftest import MAKERS
from tests.servers import delete_indexes

AUTHORS: dict[str, dict[str, Any]] = {
    "flat": {"author.name": "Ada", "stats.cited": 3},
    "nested": {"author": {"name": "Ada"}, "stats": {"cited": 2}},
    "both": {"author.name": "Ada", "author": {"name": "Bob"}, "stats.cited": 1, "stats": {}},
    "null": {"author.name": None, "author": {"name": "Bob"}, "stats": {"cited": 0}},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b", 2),  # the key that is the whole path
        ("a.b.c", 1),  # which is a number, so that the path goes on in a
        ("a.b.d", None),
        ("f.g.h", 4),
        ("f.x", None),
        ("k.l.m", 7),  # k leads nowhere: k.l does
        ("list.b", [1, 2]),
        ("list.x", None),
        ("n.o", 5),  # null is as good as absent
        ("n", {"o": 5}),
        ("p.q.r", 8),  # the shortest first key
    ],
)
def test_a_dot_is_of_the_key_or_leads_on(path: str, expected: Any) -> None:
    value = {
        "a": {"b": {"c": 1}},
        "a.b": 2,
        "f": {"g.h": 4},
        "k": {"l": 6},
        "k.l": {"m": 7},
        "list": [{"b": 1}, {"b": 2}, {}, "b"],
        "n": {"o": 5},
        "n.o": None,
        "p": {"q.r": 8},
        "p.q": {"r": 9},
    }
    assert value_at(value, path) == expected
    assert value_at(without(value, path), path) != expected or expected is None


def test_what_is_taken_out_leaves_the_rest() -> None:
    value = {"a.b": 1, "a": {"b": 2, "c": 3}, "l": [{"b": 4}, {"b": 5, "c": 6}], "d": {"e": 7}}
    assert without(value, "a.b") == {name: value[name] for name in ("a", "l", "d")}
    assert without(without(value, "a.b"), "a.b")["a"] == {"c": 3}
    assert without(value, "l.b")["l"] == [{}, {"c": 6}]
    assert "d" not in without(value, "d.e")
    assert without(value, "x.y") == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (["a", "b"], "a\nb"),
        ({"x": "a", "y": ["b", {"z": "c"}]}, "a\nb\nc"),
        ({"text": "a", "inference": {"chunks": ["b"]}}, "a"),
        (None, ""),
        (1.5, "1.5"),
        ([None, "", "a"], "a"),
    ],
)
def test_texts_of_any_shape_are_read(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.fixture(params=MAKERS)
def connector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connector]:
    with MAKERS[request.param](tmp_path / "index", None) as made:
        made.index(Document(id_, "a wing", metadata) for id_, metadata in AUTHORS.items())
        yield made
    delete_indexes()


def test_what_is_read_boosted_grouped_and_filtered_by_is_the_same_field(
    connector: Connector,
) -> None:
    hits = connector.search("wing", top_k=9)
    read = {hit.document.id: Template("by {author.name}").render(hit.document) for hit in hits}
    assert read == {"flat": "by Ada", "nested": "by Ada", "both": "by Ada", "null": "by Bob"}
    ordered = Popularity("stats.cited").rerank("wing", hits, top_k=9).hits
    assert [hit.document.id for hit in ordered] == ["flat", "nested", "both", "null"]
    assert len(Collapse("author.name").rerank("wing", ordered, top_k=9).hits) == 2
    found = connector.search("wing", top_k=9, filter={"author.name": "Ada"})
    assert {hit.document.id for hit in found} == {"flat", "nested", "both"}
    # A filter holds where any of a field's values is as it is wanted, so that it hides nothing.
    found = connector.search("wing", top_k=9, filter={"author.name": "Bob"})
    assert {hit.document.id for hit in found} == {"both", "null"}


def _read(record: dict[str, Any], **fields: str) -> Found:
    [found] = read_document(record, Fields(**fields))
    return found


def test_sources_name_fields_so_too() -> None:
    record = {"doc": {"key": 7, "body": "Lift."}, "doc.title": "Wings", "year": 1950}
    expected = Document("7", "Lift.", {"title": "Wings", "year": 1950})
    assert _read(record, id="doc.key", text="doc.body", title="doc.title") == expected
    flat = {"doc.key": "8", "doc.body": "Drag.", "doc": {"body": "no", "pages": 2}}
    left = {"doc": {"body": "no", "pages": 2}}
    assert _read(flat, id="doc.key", text="doc.body") == Document("8", "Drag.", left)


def test_sources_name_what_is_in_their_metadata() -> None:
    record = {"id": "1", "metadata": {"abstract": "Lift.", "lang": "en"}}
    assert _read(record, text="metadata.abstract") == Document("1", "Lift.", {"lang": "en"})
    taken = {"id": "1", "abstract": "Drag.", "metadata": {"abstract": "Lift."}}
    *_, document = read_document(taken, Fields(text="metadata.abstract"))
    assert document == Document("1", "Lift.", {"abstract": "Drag."})
