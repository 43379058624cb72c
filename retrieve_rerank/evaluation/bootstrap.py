"""Intervals of a mean, by resampling the queries (Efron, Annals of Statistics 1979)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.975
"""Upper quantile of a 95 % interval."""

_BATCH_VALUES = 2**21  # bounds the memory of one batch of draws


def resampled_means(
    values: Sequence[float], *, draws: int, seed: int = 0, widened: bool = False
) -> NDArray[np.float64]:
    """Return the means of `draws` samples as large as this one, drawn from it with replacement.

    They spread less than means of fresh samples do, by a part that counts below about a hundred
    values; `widened`, they are moved away from their centre so that their 95 % interval has the
    width of Student's (Hesterberg, The American Statistician 2015, section 3.4,
    https://doi.org/10.1080/00031305.2015.1089789).
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    random = np.random.default_rng(seed)
    batch = max(1, _BATCH_VALUES // n)
    means = np.concatenate(
        [
            random.multinomial(n, np.full(n, 1 / n), size=min(batch, draws - start)) @ array / n
            for start in range(0, draws, batch)
        ]
    )  # (draws,)
    return array.mean() + (means - array.mean()) * _widening(n) if widened else means


def bootstrap(
    values: Sequence[float], *, draws: int, seed: int = 0, widened: bool = False
) -> tuple[float, float]:
    """Return the 95 % confidence interval of a mean: percentiles of `resampled_means`."""
    means = resampled_means(values, draws=draws, seed=seed, widened=widened)
    low, high = np.percentile(means, (100 * (1 - LEVEL), 100 * LEVEL))
    return float(low), float(high)


def _widening(n: int) -> float:
    """Return √(n/(n − 1)) · t/z, with Student's t by Cornish and Fisher's expansion."""
    if n < 2:
        return 1.0
    z, freedom = NormalDist().inv_cdf(LEVEL), n - 1
    t = (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
    return math.sqrt(n / freedom) * t / z
