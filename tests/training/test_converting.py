"""Groups written in the shapes of other projects, value by value; what they cannot say is told."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training import Group, GroupText, read_groups, write_groups

GROUP = Group(
    "q",
    (
        GroupText("p", 2.0, "d1", "qrels", 8.5),
        GroupText("n1", 0, "d2", "bm25 rank 1", 3.0),
        GroupText("n2", -1.0, teacher_score=1.5),
        GroupText("u"),
    ),
    "q1",
    {"prompt": "Which?"},
)

WRITTEN: dict[str, list[dict[str, Any]]] = {
    "grouped": [
        {
            "query": "q",
            "query_id": "q1",
            "prompt": "Which?",
            "hits": [
                {
                    "content": "p",
                    "label": 2,
                    "id": "d1",
                    "source": "qrels",
                    "teacher_score": 8.5,
                },
                {
                    "content": "n1",
                    "label": 0,
                    "id": "d2",
                    "source": "bm25 rank 1",
                    "teacher_score": 3.0,
                },
                {"content": "n2", "label": -1, "teacher_score": 1.5},
            ],
            "unlabelled": [{"content": "u"}],
        }
    ],
    "pointwise": [
        {"query": "q", "content": "p", "label": 2},
        {"query": "q", "content": "n1", "label": 0},
        {"query": "q", "content": "n2", "label": -1},
    ],
    "flagembedding": [
        {
            "query": "q",
            "pos": ["p"],
            "neg": ["n1", "n2"],
            "pos_scores": [8.5],
            "neg_scores": [3.0, 1.5],
            "prompt": "Which?",
        }
    ],
    "tevatron": [
        {
            "query_id": "q1",
            "query": "q",
            "positive_passages": [{"docid": "d1", "title": "", "text": "p"}],
            "negative_passages": [
                {"docid": "d2", "title": "", "text": "n1"},
                {"docid": "", "title": "", "text": "n2"},
            ],
        }
    ],
    "triplet": [
        {"anchor": "q", "positive": "p", "negative": "n1"},
        {"anchor": "q", "positive": "p", "negative": "n2"},
    ],
    "n-tuple": [{"anchor": "q", "positive": "p", "negative_1": "n1"}],
    "labeled-pair": [
        {"query": "q", "document": "p", "label": 2},
        {"query": "q", "document": "n1", "label": 0},
        {"query": "q", "document": "n2", "label": -1},
    ],
    "labeled-list": [{"query": "q", "documents": ["p", "n1", "n2"], "labels": [2, 0, -1]}],
}


@pytest.mark.parametrize("format", WRITTEN)
def test_a_group_in_each_shape(tmp_path: Path, format: str) -> None:
    file = tmp_path / "out.jsonl"
    done = write_groups([GROUP], file, format=format, negatives=1)

    assert [json.loads(line) for line in file.read_text().splitlines()] == WRITTEN[format]
    assert (done.groups, done.lines) == (1, len(WRITTEN[format]))
    left_out = {} if format == "grouped" else {"text without a label": 1}
    left_out |= {"negative beyond the first 1": 1} if format == "n-tuple" else {}
    assert done.left_out == left_out


def test_groups_that_a_shape_cannot_say_are_counted(tmp_path: Path) -> None:
    given = [
        Group("a", (GroupText("x", -1.0), GroupText("y", -2.0))),
        Group("b", (GroupText("x", 1.0),)),
    ]
    file = tmp_path / "out.jsonl"

    for format in ("flagembedding", "triplet"):
        done = write_groups(given, file, format=format)
        assert done.lines == 0
        assert done.left_out == {
            "no text with a label above 0": 1,
            "no text with a label of 0 or below": 1,
        }


def test_the_shapes_are_columns_that_sentence_transformers_takes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the package 'datasets'")
    write_groups([GROUP, GROUP], tmp_path / "out.jsonl", format="n-tuple", negatives=2)

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    table = datasets.Dataset.from_list(rows)
    assert table.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    assert table["negative_2"][1] == "n2"


def test_a_gzipped_copy_is_the_same_whatever_its_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_groups([GROUP], first)
    write_groups(read_groups(first), second)

    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()).count(b"\n") == 1
    write_groups(read_groups(first), first)  # onto itself
    assert list(read_groups(first)) == [GROUP]


def test_numbers_of_numpy_and_odd_texts_are_written_and_nan_refused(tmp_path: Path) -> None:
    odd = Group(
        "half \ud83d",
        (
            # As scores of models come, whatever their type says.
            GroupText("a", cast(float, np.float32(0.5)), teacher_score=cast(float, np.float32(2))),
            GroupText("b", cast(float, np.int64(0)), teacher_score=np.float64(1)),
        ),
    )
    file = tmp_path / "out.jsonl"
    for format in ("grouped", "flagembedding", "labeled-list"):
        write_groups([odd], file, format=format)
        (group,) = read_groups(file)
        assert group.query == "half ?"
        assert [text.text for text in group.texts] == ["a", "b"]
    with pytest.raises(InputError, match="a score of the query 'q' is not finite"):
        write_groups([Group("q", (GroupText("a", float("nan")),))], file, format="labeled-pair")


def test_nothing_is_left_of_what_could_not_be_written_whole(tmp_path: Path) -> None:
    def broken() -> Iterator[Group]:
        yield GROUP
        raise InputError("data.jsonl:2: malformed JSON")

    file = tmp_path / "out.jsonl"
    file.write_text("before")
    with pytest.raises(InputError, match="malformed JSON"):
        write_groups(broken(), file)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(InputError, match=r"cannot write .*gone/out\.jsonl: No such file"):
        write_groups([GROUP], tmp_path / "gone" / "out.jsonl")
    with pytest.raises(InputError, match="cannot write the format 'rank-llm'; expected grouped"):
        write_groups([], file, format="rank-llm")
    with pytest.raises(ConfigError, match="at least 1 negative"):
        write_groups([], file, format="n-tuple", negatives=0)
