"""Losses that pick the positive out of its group: labels above 0 are positives."""

from __future__ import annotations

import torch
from torch import Tensor

from retrieve_rerank.training.losses.terms import Terms, prepared, without


def lce(scores: Tensor, labels: Tensor) -> Terms:
    """Reward the positive's share of its group: −log (e^s⁺ / (e^s⁺ + Σ e^s⁻)).

    Localized contrastive estimation (Gao et al., https://arxiv.org/abs/2101.08751, eq. 5). Each
    positive is a row with the negatives alone: positives do not push each other down. Terms are
    positives.
    """
    losses, positives = _rows(scores, labels)
    return Terms((losses * positives).sum(1), positives.sum(1))


def poly(scores: Tensor, labels: Tensor, *, epsilon: float = 1.0) -> Terms:
    """Reward as `lce` does, and once more where the positive is unsure: lce + ε (1 − p⁺).

    Poly-1, the first term of cross-entropy's expansion weighted anew (Leng et al.,
    https://arxiv.org/abs/2204.12511, eq. 6; ε = 1 did well there on most tasks). Terms are
    positives.
    """
    losses, positives = _rows(scores, labels)
    return Terms(((losses + epsilon * (1 - (-losses).exp())) * positives).sum(1), positives.sum(1))


def _rows(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of each text as if it were its group's one positive."""
    scores, labels, texts = prepared(scores, labels)
    positives = texts & (labels > 0)
    negatives = without(scores, ~texts | positives)
    some = (texts & ~positives).any(1, keepdim=True)
    rest = torch.where(some, negatives.logsumexp(1, keepdim=True), -torch.inf)
    return torch.logaddexp(scores, rest) - scores, positives
