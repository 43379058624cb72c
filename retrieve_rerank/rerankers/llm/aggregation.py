"""Preferences between all pairs of documents to one score each.

R. Pradeep, R. Nogueira and J. Lin: The Expando-Mono-Duo Design Pattern for Text Ranking with
Pretrained Sequence-to-Sequence Models, https://arxiv.org/abs/2101.05667, and Z. Qin et al.: Large
Language Models are Effective Text Rankers with Pairwise Ranking Prompting,
https://arxiv.org/abs/2306.17563.

`preferences[i][j]` is the probability that document i is more relevant than j, asked with i
standing first; the diagonal is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

Preferences = Sequence[Sequence[float]]


def prefers(first: float, second: float) -> bool:
    """Tell whether a document beats another in both orders of asking, as PRP wants it.

    `first` is its preference when it stands first, `second` the other's when that does. Answers
    that contradict each other, or are undecided, make a tie.
    """
    return first > 0.5 > second


def by_sum(preferences: Preferences) -> list[float]:
    """Sum a document's preferences over the others: s_i = Σ_j p_ij."""
    return _total(preferences, lambda first, second: first)


def by_binary(preferences: Preferences) -> list[float]:
    """Count the documents over which one is preferred: s_i = Σ_j [p_ij > 0.5]."""
    return _total(preferences, lambda first, second: float(first > 0.5))


def by_symmetric_sum(preferences: Preferences) -> list[float]:
    """Sum both orders of asking: s_i = Σ_j p_ij + (1 − p_ji); the paper's best."""
    return _total(preferences, lambda first, second: first + (1.0 - second))


def by_wins(preferences: Preferences) -> list[float]:
    """Count a win where both orders agree, half a win where they do not: PRP-Allpair."""
    return _total(
        preferences,
        lambda first, second: 0.5 * (1 + prefers(first, second) - prefers(second, first)),
    )


AGGREGATIONS: Mapping[str, Callable[[Preferences], list[float]]] = {
    "sum": by_sum,
    "binary": by_binary,
    "sym-sum": by_symmetric_sum,
    "wins": by_wins,
}


def _total(preferences: Preferences, vote: Callable[[float, float], float]) -> list[float]:
    # An exact sum: equal documents must come out equal, whatever the order of their terms.
    return [
        math.fsum(vote(row[j], preferences[j][i]) for j in range(len(row)) if j != i)
        for i, row in enumerate(preferences)
    ]
