"""How far two judges agree beyond chance: Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

Weights: TypeAlias = Literal["none", "linear", "quadratic"]
"""What a disagreement counts: all alike, its distance in grades, or the square of that."""


def cohen_kappa(
    one: Sequence[int], other: Sequence[int], *, weights: Weights = "none"
) -> float | None:
    """Return 1 − Σ w_ij O_ij / Σ w_ij E_ij over the grades i and j that two judges gave.

    O_ij is how often one said i and the other j, and E_ij how often chance would with the same
    shares of grades (Cohen 1960, https://doi.org/10.1177/001316446002000104; weighted: 1968,
    https://doi.org/10.1037/h0026256). 1 is agreement, 0 is chance's. None where both give one and
    the same grade throughout, of which nothing can be told.
    """
    ones, others = Counter(one), Counter(other)
    expected = sum(
        _weight(i, j, weights) * ones[i] * others[j] / len(one) for i in ones for j in others
    )
    if not expected:
        return None
    observed = sum(_weight(i, j, weights) for i, j in zip(one, other, strict=True))
    return 1 - observed / expected


def _weight(i: int, j: int, weights: Weights) -> float:
    distance = abs(i - j)
    return {"none": float(distance > 0), "linear": distance, "quadratic": distance**2}[weights]
