"""What the linter finds in data that are small enough to check by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retrieve_rerank.training import DataReport, PairLengths, check_groups, read_groups
from retrieve_rerank.training.lengths import Truncation


def check(tmp_path: Path, *records: Any, **options: Any) -> DataReport:
    file = tmp_path / "data.jsonl"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return check_groups([read_groups(file)], **options)


def found(report: DataReport) -> dict[str, tuple[str, int, list[str]]]:
    return {
        finding.problem.name: (
            finding.problem.severity.value,
            finding.count,
            [example.place.rpartition(":")[2] for example in finding.examples],
        )
        for finding in report.findings
    }


def test_sound_data_have_no_findings(tmp_path: Path) -> None:
    lines = [{"query": q, "pos": [f"{q} yes"], "neg": [f"{q} no"]} for q in "abc"]

    report = check(tmp_path, *lines)
    assert report.findings == []
    assert report.labels == {0.0: 3, 1.0: 3}
    (facts,) = report.sources
    assert (facts.groups, facts.texts, facts.positives, facts.negatives) == (3, 6, 3, 3)
    assert (facts.lowest_label, facts.highest_label) == (0.0, 1.0)


def test_contradictions_and_duplicates_within_a_group_and_between_groups(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        {"query": "One", "pos": ["Yes"], "neg": ["No", "  yes "]},  # the positive, but for case
        {"query": "one?", "pos": ["no"], "neg": ["other"]},  # a negative of line 1
        {"query": "two", "pos": ["a", "a"], "neg": ["b"]},
        {"query": "two", "pos": ["a", "a"], "neg": ["b"]},
        {"query": "three", "pos": ["yes"], "neg": ["a"]},  # of another query: all is well
    )

    assert found(report) == {
        "positive among the negatives": ("error", 2, ["1", "2"]),
        "same text twice in a group": ("warning", 2, ["3", "4"]),
        "same group twice": ("warning", 1, ["4"]),
        "query of an earlier group": ("note", 1, ["2"]),
    }


def test_preferences_contradict_where_a_pair_is_preferred_both_ways_alone(tmp_path: Path) -> None:
    def preferred(a: str, b: str, which: str) -> dict[str, str]:
        return {"query": "one", "a": a, "b": b, "preferred": which}

    consistent = [preferred("A", "B", "a"), preferred("C", "A", "a"), preferred("A", "D", "tie")]
    assert set(found(check(tmp_path, *consistent))) == {"query of an earlier group"}
    both_ways = found(check(tmp_path, *consistent, preferred("B", "A", "a")))
    assert both_ways["pair preferred both ways"] == ("warning", 1, ["4"])
    assert "positive among the negatives" not in both_ways


def test_labels_of_graded_groups(tmp_path: Path) -> None:
    def graded(query: str, *labels: float) -> dict[str, Any]:
        hits = [{"content": f"t{n}", "label": label} for n, label in enumerate(labels)]
        return {"query": query, "hits": hits}

    twice = {"query": "f", "hits": [{"content": "t", "label": 1}, {"content": "t", "label": 2}]}
    report = check(
        tmp_path,
        graded("a", 0, 2),
        graded("b", 1, 1, 1),
        graded("c", -3, -1),
        graded("d", 1),
        {"query": "e", "hits": [], "unlabelled": [{"content": ""}]},
        twice,
    )

    assert found(report) == {
        "two labels for one text": ("warning", 1, ["6"]),
        "all labels of a group equal": ("warning", 1, ["2"]),
        "empty text": ("warning", 1, ["5"]),
        # 2, -3, -1 and 2: the farthest from 0 … 1 is -3, then -1 and the twos.
        "label outside 0 … 1": ("note", 4, ["3", "1", "3"]),
        "group of one text": ("note", 2, ["4", "5"]),
        "no label in a group": ("note", 1, ["5"]),
    }
    assert report.labels == {-3: 1, -1: 1, 0: 1, 1: 5, 2: 2}


def test_test_queries_are_found_whatever_their_spelling(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        {"query": "what  is BM25 ?", "pos": ["a"], "neg": ["b"]},
        {"query": "what is bm42", "pos": ["a"], "neg": ["b"]},
        test_queries=["What is BM25?", "What is PageRank?"],
    )

    assert found(report) == {"test query in the training data": ("error", 1, ["1"])}
    assert report.findings[0].examples[0].detail == "'what  is BM25 ?'"


def test_lines_that_cannot_be_read_and_files_without_groups_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"query": "q", "pos": ["a"], "neg": ["b"]}\n{"query": \n')
    other = tmp_path / "empty.jsonl"
    other.write_text("\n")

    report = check_groups([read_groups(file), read_groups(other)])
    assert found(report) == {
        "malformed JSON": ("error", 1, ["2"]),
        "no groups": ("error", 1, [str(other)]),
    }


def test_files_with_labels_on_different_scales_are_told(tmp_path: Path) -> None:
    files = []
    for name, label in (("zero-one", 1), ("graded", 3)):
        files.append(tmp_path / f"{name}.jsonl")
        hits = [{"content": f"{name} {n}", "label": n * label} for n in (0, 1)]
        files[-1].write_text(json.dumps({"query": name, "hits": hits}))

    report = check_groups([read_groups(file) for file in files])
    assert found(report)["labels on different scales"] == ("warning", 1, [str(files[1])])


def test_lengths_with_the_tokenizer_of_a_model(tmp_path: Path) -> None:
    lengths = PairLengths("all-MiniLM-L6-v2", max_length=16)
    report = check(
        tmp_path,
        {"query": "two words", "pos": ["three more words"], "neg": ["word " * 40]},
        {"query": "word " * 30, "pos": ["word " * 20], "neg": ["no", "no"]},
        lengths=lengths,
    )

    # [CLS] query [SEP] text [SEP], a token each word: 8, 45, 53, 34, 34
    tokens = report.pair_tokens
    assert tokens is not None
    assert (tokens.median, tokens.p95, tokens.longest) == (34, 53, 53)
    # Beyond 16 are 29, 37, 18 and 18 of 174.
    assert report.truncation == Truncation(16, pairs=5, cut=4, tokens=174, unread=102)
    assert found(report) == {
        "query cut to what the model reads": ("warning", 3, ["2", "2"]),
        "same text twice in a group": ("warning", 1, ["2"]),
        "text cut to what the model reads": ("note", 1, ["1"]),
    }
    assert report.findings[0].examples[0].detail.startswith("53 tokens of which 16 are read: 'word")
    characters = report.text_characters
    assert (characters.median, characters.longest) == (16, 200)  # of 2, 2, 16, 100, 200
