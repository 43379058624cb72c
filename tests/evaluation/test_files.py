"""Reading and writing queries, judgments and runs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import pytrec_eval

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import (
    fitting_split,
    read_folder,
    read_qrels,
    read_queries,
    read_run,
    write_run,
)
from retrieve_rerank.evaluation.measures import order, parse_measures, score


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_queries_are_read_from_json_lines(file: Path) -> None:
    file.write_text('{"_id": "q1", "text": "one"}\n\n{"id": 2, "text": " two ", "metadata": {}}\n')
    assert read_queries(file) == {"q1": "one", "2": "two"}


def test_queries_are_read_from_tab_separated_lines(file: Path) -> None:
    file.write_bytes("\ufeffq1\tone\r\nq2\ttwo\twith a tab\r\n".encode())
    assert read_queries(file) == {"q1": "one", "q2": "two\twith a tab"}


def test_gzipped_files_are_known_by_their_first_bytes(file: Path) -> None:
    file.write_bytes(gzip.compress(b"q1\tone\n"))
    assert read_queries(file) == {"q1": "one"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"q1\tone\nno tab here\n", r"file:2: expected a query id, a tab and the text"),
        (b'{"_id": "q1"}\n', r'file:1: expected a JSON object with "_id" and "text"'),
        (b'{"_id": "q1", \n', r"file:1: expected a JSON object; got"),
        (b"q1\t \n", r"file:1: expected a query id and a text"),
        (b"q1\tone\nq1\ttwo\n", r"file:2: query 'q1' stands in the file twice"),
        (b"q1\tone\nq2\t\xff\n", r"file:2: expected UTF-8; got byte 0xff"),
        (b"q1\tone\n" + b"q" * 500, r"file:2: .*; got '" + "q" * 80 + r"'… \(500 characters\)$"),
        (b"q1\tone\n" + b"q" * (33 << 20), r"file:2: line too long: over 32 MiB$"),
        (b'{"_id": "q1", "text": "one", "text": "two"}', r"field that stands twice: 'text'"),
        (b'{"_id": "q\\ud83d", "text": "one"}', r"file:1: .* got half a surrogate pair"),
        ("q1\tone\n".encode("utf-16"), r"file is UTF-16; expected UTF-8: iconv"),
        (b"\n", r"holds no queries"),
        (gzip.compress(b"q1\tone\n", mtime=0)[:-6], r"cannot read .*get an intact copy"),
    ],
)
def test_a_broken_query_file_is_refused_with_its_line(
    file: Path, content: bytes, message: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_queries(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*nothing: No such file"):
        read_queries(tmp_path / "nothing")


def test_beir_judgments_keep_ids_with_spaces(file: Path) -> None:
    file.write_text("query-id\tcorpus-id\tscore\nq1\tmy file.txt\t2\nq1\td2\t0\n")
    assert read_qrels(file) == {"q1": {"my file.txt": 2, "d2": 0}}


def test_beir_judgments_may_lack_the_header(file: Path) -> None:
    file.write_text("q1\td1\t1\n")
    assert read_qrels(file) == {"q1": {"d1": 1}}


def test_trec_judgments_are_divided_by_any_white_space(file: Path) -> None:
    file.write_text("301 0 d1 1\n301\t0\td2\t-1\n")
    assert read_qrels(file) == {"301": {"d1": 1, "d2": -1}}


def test_a_judgment_may_be_repeated_but_not_contradicted(file: Path) -> None:
    file.write_text("q1 0 d1 1\nq1 0 d1 1\n")
    assert read_qrels(file) == {"q1": {"d1": 1}}
    file.write_text("q1 0 d1 1\nq1 0 d1 2\n")
    with pytest.raises(InputError, match=r"file:2: document 'd1' was judged 1 .* and now 2"):
        read_qrels(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 0 d1 1\nq1 d1\n", r"file:2: expected query, document and grade"),
        ("q1\td1\t0.5\n", r"file:1: expected a whole number as grade; got '0.5'"),
        ("q1\td1\t99999999999\n", r"file:1: expected a grade of at most 31 bits"),
        ("q1\td1\t2147483648\n", r"file:1: expected a grade of at most 31 bits"),
        ("q\t" * 2_000_000, r"file:1: expected query, .*; got .*… \(4,000,000 characters\)$"),
        ("query-id\tcorpus-id\tscore\n", "holds no judgments"),
    ],
)
def test_broken_judgments_are_refused(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_qrels(file)


def test_a_byte_order_mark_is_passed_over(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfquery-id\tcorpus-id\tscore\nq1\td1\t1\n")
    assert read_qrels(file) == {"q1": {"d1": 1}}
    file.write_bytes(b"\xef\xbb\xbfq1 Q0 a 1 0.5 tag\n")
    assert read_run(file) == {"q1": {"a": 0.5}}


def test_a_run_is_ordered_by_its_scores_and_ties_by_falling_id(file: Path) -> None:
    file.write_text("q1 Q0 a 1 0.5 tag\nq1 Q0 b 2 0.5 tag more\nq1 Q0 c 3 0.9 tag\n")
    assert order(read_run(file)) == {"q1": ["c", "b", "a"]}


def test_scores_tie_where_they_are_the_same_in_float32_as_in_trec_eval(file: Path) -> None:
    scores = {"a": 0.98765433, "b": 0.98765432, "c": 1e300, "d": 2e300}
    file.write_text("".join(f"q1 Q0 {id_} 1 {score} tag\n" for id_, score in scores.items()))
    ranking = order(read_run(file))["q1"]
    assert ranking == ["d", "c", "b", "a"]
    qrels = {"q1": {"a": 1, "c": 1}}
    peer = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank", "map"}).evaluate({"q1": scores})
    ours = score(parse_measures(["MRR", "MAP"]), qrels, {"q1": ranking})
    assert [ours[name]["q1"] for name in ("MRR", "MAP")] == pytest.approx(
        [peer["q1"][name] for name in ("recip_rank", "map")]
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 Q0 a 1 0.5\n", r"file:1: expected query, Q0, document, rank, score and tag"),
        ("q1 Q0 a 1 high tag\n", r"file:1: expected a number as score; got 'high'"),
        ("q1 Q0 a 1 nan tag\n", r"file:1: expected a number as score; got 'nan'"),
        ("q" * 3_000_000, r"file:1: expected query, .* \(3,000,000 characters\)$"),
        ("q1 Q0 a 1 2 t\nq1 Q0 a 2 1 t\n", r"file:2: document 'a' stands twice"),
        ("", "holds no results"),
    ],
)
def test_a_broken_run_is_refused(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_run(file)


def test_a_written_run_brings_back_the_order_that_was_served(file: Path) -> None:
    rankings = {"q2": ["a", "c", "b"], "q1": ["b"]}
    write_run(file, rankings, tag="my stage")
    assert file.read_text().splitlines()[1] == "q2 Q0 c 2 -2 my-stage"
    assert order(read_run(file)) == rankings


def test_an_id_with_white_space_is_refused_in_a_run(file: Path) -> None:
    with pytest.raises(InputError, match="document id 'my file' holds white space"):
        write_run(file, {"q1": ["my file"]}, tag="t")
    assert not file.exists()


def test_a_run_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file"):
        write_run(tmp_path / "none" / "run", {"q1": ["a"]}, tag="t")


def test_a_beir_folder_is_read_gzipped_or_not(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "q1", "text": "one"}'))
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    assert read_folder(tmp_path, split="test") == ({"q1": "one"}, {"q1": {"d1": 1}})


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("dev", "test", "train"), "dev"),
        (("test", "train"), "train"),
        (("test", "validation"), "validation"),
        (("test",), "test"),
        (("all",), "all"),
    ],
)
def test_what_is_tested_on_is_not_fitted_on_where_there_is_more(
    tmp_path: Path, there: tuple[str, ...], chosen: str
) -> None:
    (tmp_path / "qrels").mkdir()
    for split in there:
        (tmp_path / "qrels" / f"{split}.tsv.gz").write_bytes(b"")
    assert fitting_split(tmp_path) == chosen


def test_of_unknown_splits_one_is_to_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    for split in ("test", "deep-2019"):
        (tmp_path / "qrels" / f"{split}.tsv").write_text("")
    with pytest.raises(InputError, match="has the splits deep-2019, test; choose one with --split"):
        fitting_split(tmp_path)


def test_an_unknown_split_is_answered_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "dev.tsv.gz").touch()
    (tmp_path / "qrels" / "train.tsv").touch()
    with pytest.raises(InputError, match="has no split 'test'; it has: dev, train"):
        read_folder(tmp_path, split="test")


def test_a_folder_without_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected .*queries\.jsonl .*there is none"):
        read_folder(tmp_path, split="test")
