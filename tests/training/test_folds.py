from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.folds import FoldResult, fold_queries, judge_by_folds
from retrieve_rerank.training.looks import digest_of, record_look, runs_that_looked

QUERIES = {f"q{i}": f"question number {i} about {'abcdefghij'[i % 10] * 9}" for i in range(40)}
RELEVANT = {query: [f"d{query}"] for query in QUERIES}


def test_every_query_is_judged_once_by_a_procedure_that_was_not_given_it() -> None:
    given: list[tuple[set[str], set[str]]] = []

    def procedure(training: Sequence[str], held_out: Sequence[str]) -> FoldResult:
        given.append((set(training), set(held_out)))
        return FoldResult({query: float(query[1:]) for query in held_out}, 100 * len(given))

    found = judge_by_folds(procedure, QUERIES, RELEVANT)
    assert list(found.measures) == list(QUERIES)
    assert found.measures["q7"] == 7
    assert found.steps == 300  # the median of 100 … 500
    assert len(given) == 5
    for training, held_out in given:
        assert training | held_out == set(QUERIES)
        assert not training & held_out


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
    with pytest.raises(InputError, match="2 queries, 2 of them no duplicates, cannot be divided"):
        fold_queries(two, RELEVANT)
    assert sorted(map(len, fold_queries(two, RELEVANT, k=2))) == [1, 1]


def test_a_procedure_that_leaves_queries_out_is_an_error() -> None:
    with pytest.raises(InputError, match="expected a measure of each"):
        judge_by_folds(lambda training, held_out: FoldResult({}, 1), QUERIES, RELEVANT)


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
    assert runs_that_looked(folder, test) == ("a", "b")
    with (folder / "looks.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=r"looks.jsonl:4: expected a look"):
        record_look(folder, test, run="c")
