"""Which fields of a record become what."""

from __future__ import annotations

from typing import Any

import pytest

from retrieve_rerank.sources.records import Fields, Reason, parse_json, to_document
from retrieve_rerank.types import Document


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
    assert to_document(record, Fields()) == document


def test_everything_else_becomes_metadata_without_nulls() -> None:
    record = {"id": "1", "text": "t", "year": 2020, "tags": ["a"], "gone": None}
    assert to_document(record, Fields()) == Document("1", "t", {"year": 2020, "tags": ["a"]})


def test_named_fields_are_preferred_to_common_ones() -> None:
    record = {"id": "1", "url": "u", "text": "short", "abstract": "long", "name": "N"}
    document = to_document(record, Fields(id="url", text="abstract", title="name"))
    assert document == Document("u", "long", {"title": "N", "id": "1", "text": "short"})


def test_a_document_of_a_title_alone_is_kept() -> None:
    record = {"_id": "1", "title": "T", "text": ""}
    assert to_document(record, Fields()) == Document("1", "", {"title": "T"})


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
        ({"id": "1", "text": "a\ud800"}, "invalid Unicode"),
        ({"id": "1", "text": "a", "tag": "\ud800"}, "invalid Unicode"),
        ({"id": "1", "text": "a", "tag": [2**63]}, "unfit metadata"),
        ({"id": "1", "text": "a", "tag": nested(51)}, "unfit metadata"),
        ({"id": "1", "text": "a", "tag": [float("inf")]}, "unfit metadata"),
    ],
)
def test_unusable_records_give_a_reason(record: dict[str, Any], problem: str) -> None:
    reason = to_document(record, Fields())
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
    ],
)
def test_unreadable_json_gives_a_reason(line: bytes, problem: str) -> None:
    reason = parse_json(line)
    assert isinstance(reason, Reason)
    assert reason.problem == problem
