"""Cohen's kappa, by hand."""

from __future__ import annotations

import pytest

from retrieve_rerank.evaluation.agreement import Weights, cohen_kappa

# 50 things: both say yes to 20, both no to 15; one alone says yes to 5, the other alone to 10.
# Agreement .7; by chance (25·30 + 25·20) / 2500 = .5; (.7 − .5) / (1 − .5)
YES_NO = ([1] * 20 + [1] * 5 + [0] * 10 + [0] * 15, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)

# grades 0 0 1 2 3 against 0 1 1 3 0: apart by 0 1 0 1 3.
# Shares 2 1 1 1 and 2 2 0 1 of 5 each. Expected Σ w·n·m / 5:
#   none: (25 − 2·2 − 1·2 − 1·0 − 1·1) / 5 = 18/5; observed 3
#   linear: (2·(0·2 + 1·2 + 3·1) + (1·2 + 0·2 + 2·1) + (2·2 + 1·2 + 1·1) + (3·2 + 2·2 + 0)) / 5
#         = (10 + 4 + 7 + 10) / 5 = 31/5; observed 5
#   quadratic: (2·(0 + 2 + 9) + (2 + 0 + 4) + (8 + 2 + 1) + (18 + 8 + 0)) / 5 = 65/5; observed 11
GRADES = ([0, 0, 1, 2, 3], [0, 1, 1, 3, 0])


@pytest.mark.parametrize(
    ("judges", "weights", "by_hand"),
    [
        (YES_NO, "none", 0.4),
        (YES_NO, "quadratic", 0.4),  # of two grades all disagreements are alike
        (GRADES, "none", 1 - 3 / (18 / 5)),
        (GRADES, "linear", 1 - 5 / (31 / 5)),
        (GRADES, "quadratic", 1 - 11 / (65 / 5)),
        (([0, 1, 2], [0, 1, 2]), "linear", 1.0),
        (([0, 0], [0, 0]), "none", None),
        (([1, 1], [0, 0]), "none", 0.0),
    ],
)
def test_kappa_is_what_its_formula_gives_by_hand(
    judges: tuple[list[int], list[int]], weights: Weights, by_hand: float | None
) -> None:
    for one, other in (judges, judges[::-1]):
        found = cohen_kappa(one, other, weights=weights)
        assert found == (None if by_hand is None else pytest.approx(by_hand))
