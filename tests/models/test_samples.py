from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.export.samples import Sample, built_in_samples, halves, read_samples
from retrieve_rerank.text.template import Template

LINES = [
    {"query": "q1", "documents": ["plain", {"title": "Title", "text": "text"}]},
    {"query": "q2", "documents": [{"text": "no title"}]},
]


def test_documents_are_rendered_as_the_model_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl.gz"
    with gzip.open(file, "wt") as opened:
        opened.write("\n".join(json.dumps(line) for line in LINES) + "\n\n")

    assert read_samples(file, Template()) == [
        Sample("q1", ["plain", "Title text"]),
        Sample("q2", ["no title"]),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"query": "q"}',
        '{"query": "q", "documents": []}',
        '{"query": 3, "documents": ["x"]}',
        '{"query": "q", "documents": [{"title": "t"}]}',
    ],
)
def test_a_line_that_is_no_sample_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps(LINES[0]) + "\n" + line + "\n")
    with pytest.raises(InputError, match=r"samples.jsonl, line 2: expected"):
        read_samples(file, Template())


def test_one_query_cannot_both_calibrate_and_check(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps(LINES[0]))
    with pytest.raises(InputError, match="holds 1 queries; expected at least 2"):
        read_samples(file, Template())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        read_samples(tmp_path / "absent", Template())


def test_the_built_in_texts_are_prose_with_headings() -> None:
    samples = built_in_samples()

    assert len(samples) >= 40
    assert all(sample.query and len(sample.documents) >= 10 for sample in samples)
    assert any(sample.query == 'The "assert" statement' for sample in samples)


def test_halves_share_nothing() -> None:
    samples = [Sample(str(n), ["d"]) for n in range(5)]
    first, second = halves(samples)
    assert [sample.query for sample in first] == ["0", "2", "4"]
    assert [sample.query for sample in second] == ["1", "3"]
