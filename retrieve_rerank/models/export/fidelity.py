"""How close an exported model's judgments are to the original's.

Works on scores alone; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from retrieve_rerank.base import Vectors

MIN_OVERLAP = 0.9
"""Share of the original's ten best documents that an exported model must find, on average."""
MIN_TAU = 0.8
"""Kendall's tau that an exported model must reach, on average."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Differences over held-out queries, each with its documents."""

    queries: int
    documents: int
    """Judged documents, over all queries."""
    max_difference: float
    """Between the scores: logits of a pair model, cosines of an encoder."""
    mean_difference: float
    kendall_tau: float
    """Mean over queries of tau-b between the two rankings (Kendall, Biometrika 1938)."""
    top_10_overlap: float
    """Mean over queries of the share of the original's ten best among the model's ten best."""

    @property
    def acceptable(self) -> bool:
        """Whether overlap and tau reach MIN_OVERLAP and MIN_TAU."""
        return self.top_10_overlap >= MIN_OVERLAP and self.kendall_tau >= MIN_TAU

    def as_dict(self) -> dict[str, float]:
        """Return the figures under their names."""
        return asdict(self)


def compare(original: Sequence[Vectors], exported: Sequence[Vectors]) -> Fidelity:
    """Compare scores (documents,), one array for each query."""
    pairs = list(zip(original, exported, strict=True))
    differences = np.concatenate([np.abs(a - b) for a, b in pairs])
    return Fidelity(
        queries=len(pairs),
        documents=len(differences),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        kendall_tau=float(np.mean([kendall_tau(a, b) for a, b in pairs])),
        top_10_overlap=float(np.mean([overlap(a, b) for a, b in pairs])),
    )


def kendall_tau(first: Vectors, second: Vectors) -> float:
    """Return tau-b; 1 where either has all scores equal or only one, since nothing is reordered."""
    a = np.sign(first[:, None] - first[None, :])
    b = np.sign(second[:, None] - second[None, :])
    norm = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / norm) if norm else 1.0


def overlap(first: Vectors, second: Vectors, *, depth: int = 10) -> float:
    """Return the share of the `depth` best of `first` that are among the best of `second`."""
    depth = min(depth, len(first))
    best = (set(np.argsort(-scores, kind="stable")[:depth].tolist()) for scores in (first, second))
    return len(set.intersection(*best)) / depth
