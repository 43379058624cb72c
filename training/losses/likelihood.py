"""The loss of rerankers whose score is how likely the query is after the document."""

from __future__ import annotations

from torch import Tensor

from retrieve_rerank.training.losses.contrastive import lce
from retrieve_rerank.training.losses.terms import Terms, prepared

TAU = 0.001
"""RankingGPT's temperature (https://github.com/Alibaba-NLP/RankingGPT, sft.sh): probabilities of a
token lie so near to each other that they have to be spread by a thousand."""


def rankinggpt(scores: Tensor, labels: Tensor, *, tau: float = TAU) -> Terms:
    """Reward the positive's share of its group, `lce`, of s_i = exp(mean log p(query | d_i)) / τ.

    Zhang et al., https://arxiv.org/abs/2311.16720, eq. 4 and 5; `scores` are the means. Terms are
    positives.
    """
    scores, _, _ = prepared(scores, labels)
    return lce(scores.exp() / tau, labels)
