"""Significance, checked by hand."""

from __future__ import annotations

import random

import pytest

from retrieve_rerank.evaluation.compare import compare, holm, randomisation_test
from retrieve_rerank.evaluation.evaluate import evaluate_rankings

QRELS = {f"q{i}": {"good": 1} for i in range(6)}


def test_few_differences_are_tried_with_all_signs() -> None:
    # Of the 8 assignments of signs, +++ and −−− lie as far from 0 as what was seen.
    assert randomisation_test([0.1, 0.2, 0.3]) == 2 / 8
    assert randomisation_test([0.1, -0.2, 0.3]) == 6 / 8  # sums: ±.6, ±.4, ±.2, ±0


def test_no_difference_at_all_is_no_evidence() -> None:
    assert randomisation_test([0.0, 0.0]) == 1.0
    assert randomisation_test([]) == 1.0


def test_ties_do_not_change_the_p_value() -> None:
    assert randomisation_test([0.1, 0.2, 0.3, *[0.0] * 1000]) == 2 / 8


def test_random_signs_come_near_to_the_exact_p() -> None:
    deltas = [1.0] * 10 + [-1.0] * 5  # P(|heads − tails| ≥ 5) for 15 coins
    assert randomisation_test(deltas) == pytest.approx(0.3018, abs=0.015)


def test_the_random_test_is_repeatable_and_symmetric() -> None:
    source = random.Random(1)
    deltas = [source.gauss(0.1, 1) for _ in range(200)]
    p = randomisation_test(deltas)
    assert p == randomisation_test(deltas)
    assert p == randomisation_test([-delta for delta in deltas])


def test_false_alarms_are_as_rare_as_p_says() -> None:
    source = random.Random(2)
    samples = [[source.choice((-1.0, 1.0)) for _ in range(12)] for _ in range(200)]
    alarms = sum(1 for deltas in samples if randomisation_test(deltas) < 0.05)
    assert alarms <= 20


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_wins_ties_and_losses_are_counted_query_by_query() -> None:
    before = evaluate_rankings(
        "before", {q: ["bad", "good"] for q in QRELS}, QRELS, measures=["MRR@10"]
    )
    rankings = {q: ["good"] for q in QRELS} | {"q0": ["bad", "good"], "q1": ["bad"]}
    after = evaluate_rankings("after", rankings, QRELS, measures=["MRR@10"])
    (comparison,) = compare([before, after], before)
    assert (comparison.wins, comparison.ties, comparison.losses) == (4, 1, 1)
    assert comparison.delta == pytest.approx((4 * 0.5 - 0.5) / 6)
    assert (comparison.stage, comparison.baseline) == ("after", "before")
    assert comparison.p == 12 / 32  # 5 signs sum to ±3 or ±5 in 2 · (5 + 1) of 32 ways
    assert not comparison.significant


def test_the_correction_is_over_all_measures_and_stages() -> None:
    before = evaluate_rankings("before", {q: ["bad", "good"] for q in QRELS}, QRELS)
    after = evaluate_rankings("after", {q: ["good"] for q in QRELS}, QRELS)
    comparisons = compare([before, after], before)
    assert [c.measure for c in comparisons] == list(before.scores)
    smallest = min(c.p for c in comparisons)
    assert smallest == 2 / 64
    assert min(c.p_holm for c in comparisons) == pytest.approx(len(comparisons) * smallest)
