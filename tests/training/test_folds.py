from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.folds import fold_queries
from retrieve_rerank.training.looks import digest_of, record_look, runs_that_looked
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


def test_looks_at_a_test_set_are_counted_by_run(tmp_path: Path) -> None:
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 0}}
    test = digest_of(QUERIES, qrels)
    assert test == digest_of(QUERIES, {"q2": {"d3": 0, "d2": 1}, "q1": {"d1": 1}})
    assert test != digest_of(QUERIES, {**qrels, "q3": {"d9": 1}})
    folder = tmp_path / "models"
    assert record_look(folder, test, run="a") == 1
    assert record_look(folder, test, run="a") == 1  # taken up again
    assert record_look(folder, test, run="b") == 2
    assert record_look(folder, "another", run="b") == 1
    size = (folder / "looks.jsonl").stat().st_size
    with full_from(size + 10), pytest.raises(InputError, match=r"cannot note .* looked at"):
        record_look(folder, test, run="c")
    assert (folder / "looks.jsonl").stat().st_size == size  # not a part of a line
    assert runs_that_looked(folder, test) == ("a", "b")
    with (folder / "looks.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=r"looks.jsonl:4: expected a look"):
        record_look(folder, test, run="c")
