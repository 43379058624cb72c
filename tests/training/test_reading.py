"""Training data as a stream: gathered, mapped, skipped; and the real files of other projects."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training import read_groups


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def test_neighbouring_lines_of_one_query_are_one_group(tmp_path: Path) -> None:
    lines = [{"query": q, "content": c, "label": 1} for q, c in ("xa", "xb", "yc", "xd")]
    groups = list(read_groups(write(tmp_path / "data.jsonl", *lines)))

    assert [(g.query, [t.text for t in g.texts]) for g in groups] == [
        ("x", ["a", "b"]),
        ("y", ["c"]),
        ("x", ["d"]),
    ]


def test_labels_are_mapped_to_0_and_1_and_others_refused(tmp_path: Path) -> None:
    hits = [{"content": "a", "rel": 2, "label": 9}, {"content": "b", "rel": 0.5}, {"content": "c"}]
    file = write(tmp_path / "data.jsonl", {"query": "q", "hits": hits})

    (group,) = read_groups(file, label_key="rel", max_label=2)
    assert [text.label for text in group.texts] == [1.0, 0.25, 0.0]
    with pytest.raises(InputError, match=r"label out of range: expected 1 to 2; got 0\.5"):
        list(read_groups(file, label_key="rel", min_label=1, max_label=2))
    # Positives and negatives without a score are 1 and 0, not a half of anything.
    line = {"query": "q", "pos": ["a"], "neg": ["b"], "neg_scores": [0.5]}
    (group,) = read_groups(write(file, line), max_label=2)
    assert [text.label for text in group.texts] == [1.0, 0.25]
    with pytest.raises(ConfigError, match="highest label above the lowest; got 1 and 1"):
        read_groups(file, max_label=1, min_label=1)


def test_bad_lines_are_skipped_and_counted_where_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"query": "q", "pos": ["a"]}\n{"query"\n{"query": "r", "pos": [2]}\n')
    source = read_groups(file, skip_bad=True)

    for _ in range(2):  # anew by each iteration
        assert [group.query for group in source] == ["q"]
        assert source.skipped == {"malformed JSON": 1, "no list of texts in 'pos'": 1}
        assert source.first_skipped[1].place == f"{file}:3"


def test_the_format_can_be_named_where_the_keys_do_not_tell(tmp_path: Path) -> None:
    file = write(tmp_path / "data.jsonl", {"frage": "q", "gut": "a", "schlecht": "b"})

    with pytest.raises(InputError, match="no known form of training data"):
        read_groups(file)
    (group,) = read_groups(file, format="triplet")
    assert [(text.text, text.label) for text in group.texts] == [("a", 1.0), ("b", 0.0)]
    with pytest.raises(InputError, match="unknown format 'triple'; known: grouped, pointwise"):
        read_groups(file, format="triple")


def test_scores_of_positives_and_negatives_can_be_read_as_labels(tmp_path: Path) -> None:
    line = {"query": "q", "pos": ["a"], "neg": ["b"], "pos_scores": [2], "neg_scores": [1]}
    file = write(tmp_path / "data.jsonl", line)

    (group,) = read_groups(file)
    assert [(text.label, text.teacher_score) for text in group.texts] == [(1.0, 2.0), (0.0, 1.0)]
    (group,) = read_groups(file, format="rag-retrieval-a", max_label=4)
    assert [(text.label, text.teacher_score) for text in group.texts] == [(0.5, None), (0.25, None)]


def test_a_beir_folder_is_read_by_its_training_split(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", *({"_id": f"d{n}", "title": "T", "text": n} for n in "123"))
    write(tmp_path / "queries.jsonl", {"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"})
    (tmp_path / "qrels").mkdir()
    rows = "query-id\tcorpus-id\tscore\nq1\td3\t2\nq1\td1\t0\n"
    (tmp_path / "qrels" / "train.tsv").write_text(rows)
    (tmp_path / "qrels" / "test.tsv").write_text("q2\td2\t1\nq2\td9\t1\n")

    source = read_groups(tmp_path)
    (group,) = source
    assert source.position == source.size
    assert (group.query, group.query_id) == ("one", "q1")
    assert [(t.text, t.label, t.id) for t in group.texts] == [("T 3", 2, "d3"), ("T 1", 0, "d1")]
    with pytest.raises(InputError, match="'q2': judged document that the corpus lacks: 'd9'"):
        list(read_groups(tmp_path, split="test"))
    (group,) = read_groups(tmp_path, max_label=4)
    assert [text.label for text in group.texts] == [0.5, 0.0]
    with pytest.raises(InputError, match="'q1': label out of range: expected 1 to 4; got 0"):
        list(read_groups(tmp_path, min_label=1, max_label=4))
    with pytest.raises(InputError, match="has no split 'dev'; it has: test, train"):
        read_groups(tmp_path, split="dev")

    trec = tmp_path / "judged.qrels"
    trec.write_text("q1 0 d3 2\nq2 0 d2 1\n")
    with pytest.raises(InputError, match="relevance judgments need the texts too"):
        read_groups(trec)
    groups = list(
        read_groups(
            trec,
            queries=tmp_path / "queries.jsonl",
            corpus=tmp_path / "corpus.jsonl",
            template="{text}",
        )
    )
    assert [(g.query, g.texts[0].text, g.texts[0].label) for g in groups] == [
        ("one", "3", 2.0),
        ("two", "2", 1.0),
    ]


def test_data_larger_than_what_is_held_in_memory(tmp_path: Path) -> None:
    line = json.dumps({"query": "q", "pos": ["a" * 5000], "neg": ["b" * 5000] * 3}).encode() + b"\n"
    file = tmp_path / "data.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        for _ in range(500):  # 10 MB
            stream.write(line)
    source = read_groups(file)

    tracemalloc.start()
    assert sum(len(group.texts) for group in source) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert source.position == source.size


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        read_groups(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="holds one JSON array"):
        read_groups(write(tmp_path / "array.json", [{"query": "q", "pos": ["a"]}]))
    assert list(read_groups(write(tmp_path / "empty.jsonl"))) == []
    with pytest.raises(
        InputError, match=r"lacks queries\.jsonl and corpus\.jsonl; expected a BEIR"
    ):
        read_groups(tmp_path)


FILES = {
    # file: format, groups, texts, texts with a label above 0, first label, first teacher score
    "flagembedding.normal": ("flagembedding", 10, 260, 10, 1, 96.6875),
    "flagembedding.prompt_based": ("flagembedding", 10, 260, 10, 1, 96.6875),
    "rag-retrieval-a.distill.standard.head20": ("rag-retrieval-a", 20, 388, 388, None, None),
    "rag-retrieval-a.t2rank_100.small": ("flagembedding", 11, 226, 61, 1, None),
    "rag-retrieval.grouped_reranker_eval_data": ("grouped", 5, 50, 28, 0, None),
    "rag-retrieval.grouped_reranker_train_data_listwise_label": ("grouped", 10, 200, 0, -1, None),
    "rag-retrieval.lmsft": ("rag-retrieval-a", 2, 4, 4, 0.8, None),
    "rag-retrieval.pointwise_reranker_eval_data": ("pointwise", 5, 50, 28, 0, None),
    "rag-retrieval.pointwise_reranker_train_data": ("pointwise", 10, 200, 81, 2, None),
    "rankinggpt.msmarco.head20": ("tevatron", 20, 1037, 22, 1, None),
    "rankinggpt.text_pairs": ("rankinggpt", 10, 10, 10, 1, None),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", FILES)
def test_real_files_load_as_they_are(shared_data: Path, name: str) -> None:
    format, count, texts, positives, label, teacher_score = FILES[name]
    source = read_groups(shared_data / "_formats" / f"{name}.jsonl.gz")
    groups = list(source)

    assert (source.format, len(groups)) == (format, count)
    assert sum(len(group.texts) for group in groups) == texts
    assert sum(len(group.positives) for group in groups) == positives
    first = groups[0].texts[0]
    assert label is None or first.label == label
    assert first.teacher_score == teacher_score


@pytest.mark.shared_data
def test_labels_of_real_files_are_those_of_their_lines(shared_data: Path) -> None:
    path = shared_data / "_formats" / "rag-retrieval.pointwise_reranker_train_data.jsonl.gz"
    labels = Counter(text.label for group in read_groups(path) for text in group.texts)

    assert labels == {0.0: 119, 1.0: 24, 2.0: 57}
