"""Which fields of a record become what."""

from __future__ import annotations

from typing import Any

import pytest

from retrieve_rerank.data.records import Fields, Found, Note, Reason, parse_json, read_document
from retrieve_rerank.types import Document


def read_one(record: dict[str, Any], fields: Fields | None = None) -> Found:
    [found] = read_document(record, fields or Fields())
    return found


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("record", "document"),
    [
        pytest.param(
            {"_id": "1", "title": "T", "text": "body", "metadata": {"year": 2020}},
            Document("1", "body", {"title": "T", "year": 2020}),
            id="BEIR",
        ),
        pytest.param({"id": "d", "contents": "body"}, Document("d", "body"), id="Pyserini"),
        pytest.param(
            {"docid": 7, "title": "", "text": "body"}, Document("7", "body"), id="Tevatron"
        ),
        pytest.param(
            {"id": "l", "page_content": "body", "metadata": {"source": "a.txt"}, "type": None},
            Document("l", "body", {"source": "a.txt"}),
            id="LangChain",
        ),
        pytest.param(
            {"id": "h", "content": "body", "meta": {"title": "T"}, "embedding": None},
            Document("h", "body", {"title": "T"}),
            id="Haystack",
        ),
        pytest.param(
            {
                "id_": "x",
                "metadata": {"file": "a"},
                "text_template": "{content}",
                "text_resource": {"text": "body"},
                "class_name": "Document",
            },
            Document("x", "body", {"file": "a"}),
            id="LlamaIndex document",
        ),
        pytest.param(
            {"id_": "n", "text": "body", "start_char_idx": 0, "metadata": {}},
            Document("n", "body"),
            id="LlamaIndex node",
        ),
    ],
)
def test_common_names_of_fields_are_known(record: dict[str, Any], document: Document) -> None:
    assert read_one(record) == document


def test_everything_else_becomes_metadata_without_nulls() -> None:
    record = {"id": "1", "text": "t", "year": 2020, "tags": ["a"], "gone": None}
    assert read_one(record) == Document("1", "t", {"year": 2020, "tags": ["a"]})


def test_named_fields_are_preferred_to_common_ones() -> None:
    record = {"id": "1", "url": "u", "text": "short", "abstract": "long", "name": "N"}
    document = read_one(record, Fields(id="url", text="abstract", title="name"))
    assert document == Document("u", "long", {"title": "N", "id": "1", "text": "short"})


def test_a_document_of_a_title_alone_is_kept() -> None:
    record = {"_id": "1", "title": "T", "text": ""}
    assert read_one(record) == Document("1", "", {"title": "T"})


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"text": "t"}, "missing id"),
        ({"id": None, "text": "t"}, "missing id"),
        ({"id": " ", "text": "t"}, "empty id"),
        ({"id": 1.5, "text": "t"}, "id of another type"),
        ({"id": True, "text": "t"}, "id of another type"),
        ({"id": "1"}, "empty text"),
        ({"id": "1", "text": " \n"}, "empty text"),
        ({"id": "1", "text": ["a"]}, "text of another type"),
        ({"id": "1\ud800", "text": "a"}, "invalid Unicode"),
        ({"id": "1", "text": "a", "tag": [2**63]}, "unfit metadata"),
        ({"id": "1", "text": "a", "tag": nested(51)}, "unfit metadata"),
        ({"id": "1", "text": "a", "tag": [float("inf")]}, "unfit metadata"),
    ],
)
def test_unusable_records_give_a_reason(record: dict[str, Any], problem: str) -> None:
    reason = read_one(record)
    assert isinstance(reason, Reason)
    assert reason.problem == problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"id": 1', "malformed JSON"),
        (b'["id"]', "malformed JSON"),
        (b'{"id": NaN}', "malformed JSON"),
        (b"[" * 100_000, "malformed JSON"),
        (b'{"id": "\xff"}', "invalid UTF-8"),
        (b'{"id": "a", "text": "one", "text": "two"}', "field that stands twice"),
        (
            b'{"id": "a", "text": "t", "by": [{"name": "B", "name": "C"}]}',
            "field that stands twice",
        ),
    ],
)
def test_unreadable_json_gives_a_reason(line: bytes, problem: str) -> None:
    reason = parse_json(line)
    assert isinstance(reason, Reason)
    assert reason.problem == problem


def test_a_field_beside_metadata_and_in_it_is_kept_twice_and_said() -> None:
    record = {
        "id": "a",
        "page_content": "t",
        "type": None,
        "lang": "en",
        "year": 1,
        "metadata": {"lang": "de", "type": "pdf", "year": 1, "id": "b"},
    }
    note, document = read_document(record, Fields())
    kept = {"lang": "de", "id": "b"}
    assert document == Document(
        "a", "t", {"lang": "en", "type": "pdf", "year": 1, "metadata": kept}
    )
    assert note == Note(
        "a field of the same name beside metadata and in it",
        "both are kept, the latter as 'metadata.lang, metadata.id'",
    )


def test_a_field_without_a_name_is_neither_text_nor_title_and_said_to_be_left_out() -> None:
    note, document = read_document({"id": "a", "text": "t", "": "stray"}, Fields())
    assert (note, document) == (Note("a field without a name", "left out"), Document("a", "t"))
    _, reason = read_document({"id": "a", " ": "only here"}, Fields())
    assert isinstance(reason, Reason)
    assert reason.problem == "empty text"


def test_half_a_surrogate_pair_is_read_as_a_question_mark_and_said() -> None:
    record = {"id": "1", "text": "a \ud83d b", "tags": ["\udc4d", "whole 👍"], "o": {"k\ud800": 1}}
    note, document = read_document(record, Fields())
    assert note == Note("half of a surrogate pair", 'read as "?"')
    assert document == Document("1", "a ? b", {"tags": ["?", "whole 👍"], "o": {"k?": 1}})
