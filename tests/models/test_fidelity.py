from __future__ import annotations

import numpy as np
import pytest

from retrieve_rerank.models.export.fidelity import compare, kendall_tau, overlap

FOUR = np.array([4, 3, 2, 1], dtype=np.float32)


def test_tau_counts_pairs_in_the_same_order() -> None:
    assert kendall_tau(FOUR, FOUR * 2) == pytest.approx(1)
    assert kendall_tau(FOUR, -FOUR) == pytest.approx(-1)
    assert kendall_tau(FOUR, np.array([3, 4, 2, 1], dtype=np.float32)) == pytest.approx(4 / 6)


def test_tau_is_that_of_scipy_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    numbers = np.random.default_rng(1)
    first, second = (numbers.integers(0, 5, 30).astype(np.float32) for _ in range(2))
    assert kendall_tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)


def test_nothing_to_reorder_is_perfect() -> None:
    assert kendall_tau(FOUR[:1], FOUR[:1]) == 1
    assert kendall_tau(np.zeros(3, np.float32), FOUR[:3]) == 1


def test_overlap_is_of_the_best_only() -> None:
    assert overlap(FOUR, np.array([4, 1, 2, 3], dtype=np.float32), depth=2) == 0.5
    assert overlap(FOUR, -FOUR) == 1  # fewer than ten documents


def test_figures_are_means_over_queries() -> None:
    reversed_ = compare([FOUR, FOUR], [FOUR, -FOUR])

    assert (reversed_.queries, reversed_.documents) == (2, 8)
    assert reversed_.max_difference == 8
    assert reversed_.mean_difference == pytest.approx((8 + 6 + 4 + 2) / 8)
    assert reversed_.kendall_tau == pytest.approx(0)
    assert not reversed_.acceptable
    assert compare([FOUR], [FOUR]).acceptable
