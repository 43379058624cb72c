"""Whether one ranking of the queries is better than another, or only luckier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from retrieve_rerank.evaluation.evaluate import StageEvaluation

SIGNIFICANCE = 0.05
"""Chance of calling any one difference of a family real where none is (Holm's correction)."""

DRAWS = 10_000
"""Random assignments of signs; the smallest p that they can show is about 1 / DRAWS."""

_EXACT_BELOW = 14  # queries with a difference: 2^13 assignments of signs are all tried
_BATCH_VALUES = 2**21  # bounds the memory of one batch of draws
_TIE = 1e-9  # differences below it come from rounding


@dataclass(frozen=True, slots=True)
class Comparison:
    """A stage against a baseline on one measure, query by query."""

    measure: str
    stage: str
    baseline: str
    delta: float
    """Mean over the judged queries of the stage's value less the baseline's."""
    wins: int
    """Queries on which the stage is better."""
    ties: int
    losses: int
    p: float
    """Of the paired randomisation test, two-sided."""
    p_holm: float
    """The same after Holm's correction over all comparisons made together."""

    @property
    def significant(self) -> bool:
        """Whether the corrected p lies below SIGNIFICANCE."""
        return self.p_holm < SIGNIFICANCE

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "significant": self.significant}


def compare(stages: Sequence[StageEvaluation], baseline: StageEvaluation) -> list[Comparison]:
    """Compare every stage but the baseline itself with it, on each measure."""
    pairs = [
        (name, stage, deltas(stage, baseline, name))
        for stage in stages
        if stage is not baseline
        for name in baseline.scores
    ]
    p_values = [randomisation_test(list(differences.values())) for _, _, differences in pairs]
    return [
        Comparison(
            measure=name,
            stage=stage.name,
            baseline=baseline.name,
            delta=sum(differences.values()) / len(differences),
            wins=sum(1 for delta in differences.values() if delta > 0),
            ties=sum(1 for delta in differences.values() if delta == 0),
            losses=sum(1 for delta in differences.values() if delta < 0),
            p=p,
            p_holm=p_holm,
        )
        for (name, stage, differences), p, p_holm in zip(
            pairs, p_values, holm(p_values), strict=True
        )
    ]


def deltas(stage: StageEvaluation, baseline: StageEvaluation, measure: str) -> dict[str, float]:
    """Return the stage's value less the baseline's for each judged query; 0 for a tie."""
    before = baseline.scores[measure]
    differences = {q: value - before[q] for q, value in stage.scores[measure].items()}
    return {q: delta if abs(delta) > _TIE else 0.0 for q, delta in differences.items()}


def randomisation_test(deltas: Sequence[float], *, seed: int = 0) -> float:
    """Return the two-sided p of the paired differences' mean under random signs.

    If the two systems were alike, each difference might as well have had the other sign. p is the
    share of assignments of signs whose mean lies at least as far from 0 as the one seen; all
    assignments where there are few, DRAWS random ones and the one seen otherwise. Recommended for
    retrieval by Smucker, Allan and Carterette, CIKM 2007,
    https://doi.org/10.1145/1321440.1321528.
    """
    moved = np.array([delta for delta in deltas if delta != 0.0])
    if not moved.size:
        return 1.0
    observed = abs(moved.sum()) * (1 - _TIE)  # sums that differ from it by rounding alone count
    if moved.size < _EXACT_BELOW:
        signs = np.array(list(product((-1, 1), repeat=moved.size)))
        return float(np.mean(np.abs(signs @ moved) >= observed))
    random = np.random.default_rng(seed)
    batch = max(1, _BATCH_VALUES // moved.size)
    extreme = 1
    for start in range(0, DRAWS, batch):
        rows = min(batch, DRAWS - start)
        signs = random.integers(0, 2, size=(rows, moved.size), dtype=np.int8) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ moved) >= observed))
    return extreme / (DRAWS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for being many, so that any false alarm among them stays rare.

    The i-th smallest of m is multiplied by m − i + 1, never falling below the one before it
    (Holm, Scandinavian Journal of Statistics 1979, https://www.jstor.org/stable/4615733).
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = highest
    return adjusted
