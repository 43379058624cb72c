from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.folds import fold_queries
from retrieve_rerank.training.looks import digest_of, record_look
from retrieve_rerank.types import Qrels
from tests.full_disk import full_from

QUERIES = {f"q{i}": f"question number {i} about {'abcdefghij'[i % 10] * 9}" for i in range(40)}
RELEVANT = {query: [f"d{query}"] for query in QUERIES}


def test_every_query_is_in_one_fold() -> None:
    folds = fold_queries(QUERIES, RELEVANT)
    assert len(folds) == 5
    assert sorted(query for fold in folds for query in fold) == sorted(QUERIES)


@pytest.mark.parametrize(
    "twin", ["Question number 3 about ddddddddd?", "question  number 3 about ddddddddd"]
)
def test_duplicates_share_a_fold_and_new_queries_move_no_other(twin: str) -> None:
    before = fold_queries(QUERIES, RELEVANT)
    after = fold_queries({**QUERIES, "twin": twin}, {**RELEVANT, "twin": ["dq3"]})
    [fold] = [each for each in after if "twin" in each]
    assert "q3" in fold
    assert [set(each) - {"twin"} for each in after] == [set(each) for each in before]


def test_too_few_queries_for_folds_are_an_error() -> None:
    two = {query: QUERIES[query] for query in ("q1", "q2")}
    with pytest.raises(InputError, match="2 queries, 2 of them apart, cannot be divided"):
        fold_queries(two, RELEVANT)
    assert sorted(map(len, fold_queries(two, RELEVANT, k=2))) == [1, 1]


def test_queries_made_from_one_document_share_a_fold() -> None:
    of_three = {query: [f"d{number // 3}"] for number, query in enumerate(QUERIES)}
    for fold in fold_queries(QUERIES, of_three, by_document=True):
        for query in fold:
            assert {each for each in QUERIES if of_three[each] == of_three[query]} <= set(fold)


def test_looks_at_test_queries_are_counted_by_run_and_index(tmp_path: Path) -> None:
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 0}}
    folder, other = tmp_path / "models", tmp_path / "others"

    def look(folder: Path, run: str, qrels: Qrels = qrels, index: str = "docs") -> int:
        return record_look(folder, QUERIES, qrels, index=index, run=run)

    assert look(folder, "a") == 1
    assert look(folder, "a") == 1  # taken up again
    assert look(folder, "b") == 2
    assert look(folder, "c", {"q3": {"d9": 1}}) == 1
    assert look(other, "a") == 3  # another name makes nothing unseen,
    assert look(other, "d", {"q2": {"d2": 1}}) == 4  # nor does a part of the queries
    assert look(folder, "e", {"q2": {"another": 1}}, index="elsewhere") == 1
    size = (folder / "looks.jsonl").stat().st_size
    with full_from(size + 10), pytest.raises(InputError, match=r"cannot note .* looked at"):
        look(folder, "f")
    assert (folder / "looks.jsonl").stat().st_size == size  # not a part of a line
    with (folder / "looks.jsonl").open("a") as file:
        file.write("{}\n")
    for its in (folder, other):
        with pytest.raises(InputError, match=r"looks.jsonl:5: expected a look"):
            look(its, "f")


def test_looks_that_an_earlier_release_noted_are_counted(tmp_path: Path) -> None:
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 0}}
    test = digest_of(QUERIES, {"q2": {"d3": 0, "d2": 1}, "q1": {"d1": 1}})
    assert test != digest_of(QUERIES, {**qrels, "q3": {"d9": 1}})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "looks.jsonl").write_text(
        "".join(f'{{"test": "{test}", "run": "{run}", "time": "then"}}\n' for run in "ab")
    )
    for name, run, count in (("model", "a", 2), ("model", "c", 3), ("another", "c", 4)):
        assert record_look(tmp_path / name, QUERIES, qrels, index="docs", run=run) == count
