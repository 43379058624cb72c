"""Measures by name, checked by hand."""

from __future__ import annotations

import math

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.measures import DEFAULT_MEASURES, parse_measure, parse_measures
from retrieve_rerank.evaluation.measures import score as score_all

QRELS = {"q": {"good": 2, "fair": 1, "bad": 0}}


def score(name: str, ranking: list[str], qrels: dict[str, dict[str, int]] = QRELS) -> float:
    return score_all([parse_measure(name)], qrels, {"q": ranking})[name]["q"]


def test_ndcg_has_linear_gain() -> None:
    ideal = 2 + 1 / math.log2(3)
    assert score("nDCG@10", ["fair", "bad", "good"]) == pytest.approx((1 + 2 / 2) / ideal)


def test_ndcg_of_search_engines_has_exponential_gain() -> None:
    ideal = 3 + 1 / math.log2(3)
    name = "nDCG(dcg='exp-log2')@10"
    assert score(name, ["fair", "bad", "good"]) == pytest.approx((1 + 3 / 2) / ideal, abs=1e-5)


def test_mrr_is_the_inverse_rank_of_the_first_relevant_hit_within_the_cutoff() -> None:
    assert score("MRR@10", ["bad", "x", "fair", "good"]) == pytest.approx(1 / 3)
    assert score("MRR@2", ["bad", "x", "fair", "good"]) == 0


def test_map_counts_relevant_documents_that_were_not_found() -> None:
    assert score("MAP", ["x", "good"]) == pytest.approx((1 / 2) / 2)


def test_recall_hit_rate_and_precision_look_at_the_first_k() -> None:
    ranking = ["x", "good", "fair"]
    assert score("Recall@2", ranking) == 0.5
    assert score("HR@1", ranking) == 0
    assert score("HR@2", ranking) == score("HitRate@2", ranking) == 1
    assert score("P@3", ranking) == pytest.approx(2 / 3)
    assert score("P@10", ranking) == pytest.approx(2 / 10)


def test_a_parameter_raises_the_grade_that_counts_as_relevant() -> None:
    assert score("MRR(rel=2)@10", ["fair", "good"]) == 0.5


def test_the_order_of_a_ranking_counts_whatever_the_ids_are() -> None:
    for ranking in (["a", "b"], ["b", "a"]):
        assert score("MRR@10", ranking, {"q": {"a": 1}}) == 1 / (ranking.index("a") + 1)
        assert score("P@1", ranking, {"q": {"a": 1}}) == float(ranking[0] == "a")


def test_queries_without_results_or_relevant_documents_score_zero() -> None:
    qrels = {"found": {"a": 1}, "missing": {"a": 1}, "empty": {"a": 1}, "hopeless": {"a": 0}}
    rankings = {"found": ["a"], "empty": [], "hopeless": ["a"], "unjudged": ["a"]}
    measures = parse_measures(DEFAULT_MEASURES)
    scores = score_all(measures, qrels, rankings)
    for measure in measures:
        assert set(scores[measure.name]) == set(qrels)
        assert scores[measure.name]["found"] > 0
        assert scores[measure.name]["missing"] == 0
        assert scores[measure.name]["empty"] == 0
        assert scores[measure.name]["hopeless"] == 0
    assert measures[0].total(scores["nDCG@10"].values()) == 0.25
    assert score("ERR@10", ["a"], {"q": {}}) == 0


def test_ids_may_hold_white_space() -> None:
    qrels = {"my query": {"my file.txt": 1}}
    names = ("nDCG@10", "ERR@10")  # ERR hands its files to another program
    scores = score_all(parse_measures(names), qrels, {"my query": ["my file.txt"]})
    assert scores["nDCG@10"] == {"my query": 1.0}
    assert scores["ERR@10"]["my query"] > 0


def test_a_measure_keeps_the_name_it_was_given_and_comes_once() -> None:
    names = [measure.name for measure in parse_measures(["HR@5", "MRR@10", "HR@5", "RR@10"])]
    assert names == ["HR@5", "MRR@10", "RR@10"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nGCD@10", "unknown measure 'nGCD'; known: .*nDCG"),
        ("nDCG@ten", "cannot read measure 'nDCG@ten'; expected something like nDCG@10"),
        ("", "cannot read measure ''"),
        ("__import__('os').system('true')", "cannot read measure"),
        ("nDCG@0", "'nDCG@0' cannot use cutoff=0"),
        ("nDCG@1.5", "'nDCG@1.5' cannot use cutoff=1.5"),
        ("P", "'P' needs a cutoff, as in P@10"),
        ("P(depth=3)@5", "has no 'depth'; its parameters: cutoff, rel"),
        ("RBP(p=0.8,rel=1)", "cannot compute RBP"),
        ("P(rel={[]:1})@5", "cannot read measure"),
        ("Accuracy", "'Accuracy' has no value for a query of which every hit is relevant"),
    ],
)
def test_a_measure_that_cannot_be_used_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_measure(name)
