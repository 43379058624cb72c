"""Each format of training data: one line of it by hand, and what it becomes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.training import Group, GroupText, read_groups
from retrieve_rerank.training.formats import FORMATS, WRITTEN
from retrieve_rerank.training.formats.format import WriteOptions

BOTH = (GroupText("Lyon", 1.0, source="pos"), GroupText("Nice", 0.0, source="neg"))
SCORED = (
    GroupText("Lyon", 1.0, source="pos", teacher_score=9.5),
    GroupText("Nice", 0.0, source="neg", teacher_score=-2.0),
)

LINES: list[tuple[str, dict[str, Any], Group]] = [
    (
        "grouped",
        {"query": "q", "hits": [{"content": "a", "label": -1, "rank": 3}, {"content": "b"}]},
        Group("q", (GroupText("a", -1.0, rank=3), GroupText("b", 0.0))),
    ),
    (
        "grouped",
        {
            "query": "q",
            "query_id": 7,
            "prompt": "Is B an answer to A?",
            "hits": [{"content": "a", "label": 0.5, "id": "d1", "source": "bm25 rank 2"}],
            "unlabelled": [{"content": "b", "teacher_score": 3.25}],
        },
        Group(
            "q",
            (
                GroupText("a", 0.5, "d1", "bm25 rank 2"),
                GroupText("b", None, teacher_score=3.25),
            ),
            "7",
            {"prompt": "Is B an answer to A?"},
        ),
    ),
    (
        "pointwise",
        {"query": "q", "content": "a", "label": 2},
        Group("q", (GroupText("a", 2.0),)),
    ),
    (
        "pointwise",  # RAG-Retrieval's distilled lines have the score as a text
        {"query": "q", "content": "a", "score": "0.97"},
        Group("q", (GroupText("a", 0.97),)),
    ),
    (
        "preferences",
        {"query": "q", "a": "x", "b": "y", "preferred": "tie", "b_id": "d2"},
        Group(
            "q",
            (GroupText("x", 0.0, None, "preference"), GroupText("y", 0.0, "d2", "preference")),
        ),
    ),
    (
        "preferences",
        {"query": "q", "a": "x", "b": "y", "preferred": "b"},
        Group(
            "q", (GroupText("x", 0.0, None, "preference"), GroupText("y", 1.0, None, "preference"))
        ),
    ),
    (
        "thumbs",
        {"query": "q", "text": "x", "thumb": "down", "id": "d1"},
        Group("q", (GroupText("x", 0.0, "d1", "thumb"),)),
    ),
    ("flagembedding", {"query": "q", "pos": ["Lyon"], "neg": ["Nice"]}, Group("q", BOTH)),
    (
        "flagembedding",
        {
            "query": "q",
            "pos": ["Lyon"],
            "neg": ["Nice"],
            "pos_scores": [9.5],
            "neg_scores": [-2],
            "query_prompt": "A: ",
        },
        Group("q", SCORED, prompts={"query_prompt": "A: "}),
    ),
    (
        "rag-retrieval-a",
        {"query": "q", "pos": ["a", "b"], "pos_scores": [0.75, 0.1]},
        Group("q", (GroupText("a", 0.75, source="pos"), GroupText("b", 0.1, source="pos"))),
    ),
    (
        "rag-retrieval-a",  # only the positives have scores
        {"query": "q", "pos": ["Lyon"], "neg": ["Nice"], "pos_scores": [0.5]},
        Group("q", (GroupText("Lyon", 0.5, source="pos"), BOTH[1])),
    ),
    (
        "rag-retrieval-a",
        {"query": "q", "pos": ["Lyon", "Nice"], "scores": [0.8, 0.2]},
        Group("q", (GroupText("Lyon", 0.8, source="pos"), GroupText("Nice", 0.2, source="pos"))),
    ),
    (
        "tevatron",
        {
            "query_id": 12,
            "query": "q",
            "positive_passages": [{"docid": "d1", "title": "Rhône", "text": "Lyon is there."}],
            "negative_passages": [{"docid": 5, "text": "Nice is not."}],
        },
        Group(
            "q",
            (
                GroupText("Rhône Lyon is there.", 1.0, "d1", "positive_passages"),
                GroupText("Nice is not.", 0.0, "5", "negative_passages"),
            ),
            "12",
        ),
    ),
    (
        "rankinggpt",
        {"query": "Document: The aardvark digs. Query:", "response": "what digs?"},
        Group("what digs?", (GroupText("The aardvark digs.", 1.0, source="text pair"),)),
    ),
    (
        "rank-llm",
        {
            "query": {"text": "q", "qid": "264014"},
            "candidates": [
                {"docid": "d1", "score": 14.5, "doc": {"title": "T", "segment": "of v2"}},
                {"docid": "d2", "score": 13, "doc": {"contents": "b"}},
            ],
        },
        Group(
            "q",
            (
                GroupText("T of v2", None, "d1", "rank 1", 14.5),
                GroupText("b", None, "d2", "rank 2", 13.0),
            ),
            "264014",
        ),
    ),
    (
        "triplet",
        {"anchor": "q", "positive": "a", "negative": "b"},
        Group(
            "q", (GroupText("a", 1.0, source="positive"), GroupText("b", 0.0, source="negative"))
        ),
    ),
    (
        "n-tuple",
        {"question": "q", "answer": "a", "negative_1": "b", "negative_2": "c", "scores": [3, 2, 1]},
        Group(
            "q",
            (
                GroupText("a", 1.0, source="answer", teacher_score=3.0),
                GroupText("b", 0.0, source="negative_1", teacher_score=2.0),
                GroupText("c", 0.0, source="negative_2", teacher_score=1.0),
            ),
        ),
    ),
    (
        "labeled-pair",
        {"sentence1": "q", "sentence2": "a", "score": 0.25},
        Group("q", (GroupText("a", 0.25),)),
    ),
    (
        "labeled-list",
        {"question": "q", "answers": ["a", "b"], "labels": [1, 0]},
        Group("q", (GroupText("a", 1.0), GroupText("b", 0.0))),
    ),
]


@pytest.mark.parametrize(("name", "line", "expected"), LINES)
def test_a_line_is_recognised_and_read(
    tmp_path: Path, name: str, line: dict[str, Any], expected: Group
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps(line))
    source = read_groups(file)

    assert list(source) == [expected]
    assert source.format == name


def test_every_format_has_a_line_here() -> None:
    assert {name for name, _, _ in LINES} == set(FORMATS)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    labels = {"Lyon": 1.0, "Nice": 0.0, "Metz": 0.0}
    group = Group("where?", tuple(GroupText(text, label) for text, label in labels.items()))
    options = WriteOptions(negatives=2)
    rows = list(FORMATS[name].write(group, options))  # type: ignore[misc]
    file = tmp_path / "data.jsonl.gz"
    file.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    source = read_groups(file)

    pairs = {(g.query, text.text, text.label) for g in source for text in g.texts}
    assert pairs == {("where?", text, label) for text, label in labels.items()}
    assert source.format == name


def test_a_stored_group_comes_back_whole(tmp_path: Path) -> None:
    group = LINES[1][2]
    (row,) = FORMATS["grouped"].write(group, WriteOptions())  # type: ignore[misc]
    file = tmp_path / "groups.jsonl"
    file.write_text(json.dumps(row))

    assert list(read_groups(file)) == [group]
    # RAG-Retrieval's loader sees the labelled texts alone: it takes a hit without one for a 0.
    assert isinstance(row, dict)
    assert [hit["content"] for hit in row["hits"]] == ["a"]


def test_an_unknown_form_says_what_came_and_what_was_expected(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text('\n{"_id": "d1", "title": "T", "text": "a", "score": 1}\n')

    with pytest.raises(InputError) as raised:
        read_groups(file)
    message = str(raised.value)
    assert message.startswith(f"{file}:2: no known form of training data; its keys: '_id, title, ")
    assert all(f"{name} {format.shape}" in message for name, format in FORMATS.items())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"query": "q", "pos": "a", "neg": [1]}, "no list of texts in 'neg': expected a list of"),
        (
            {"query": "q", "pos": ["a"], "neg": ["b"], "pos_scores": [1, 2], "neg_scores": [0]},
            "not one number for each text in 'pos_scores': expected 1; got 2",
        ),
        ({"query": " ", "pos": ["a"]}, "empty query"),
        ({"query": "q", "hits": []}, "no texts"),
        ({"query": "q", "hits": [{"content": "a", "rel": 1}]}, "no hit has the label 'label'"),
        ({"query": "q", "content": "a", "label": "high"}, "no number in 'label'"),
        ({"query": "q", "content": "a", "label": "nan"}, "no number in 'label'"),
        ({"query": "q", "content": "half \ud83d", "label": 1}, "invalid Unicode"),
        ({"query": "q", "pos": ["a"], "neg": [], "prompt": "\ud83d"}, "invalid Unicode"),
        ({"query": 3, "content": "a", "label": 1}, "no text in 'query': expected a text; got '3'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any], problem: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps(line))

    with pytest.raises(InputError) as raised:
        list(read_groups(file))
    assert str(raised.value).startswith(f"{file}:1: {problem}")
