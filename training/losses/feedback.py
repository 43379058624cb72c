"""What users say: of one text whether it is good, of two which is better, or that they are alike.

`points` and `bradley_terry` learn from different groups, so that a mixture of them trains from both
kinds of feedback at once: BCE on points + λ · Bradley-Terry with ties on pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from retrieve_rerank.training.losses.pointwise import bce
from retrieve_rerank.training.losses.terms import Terms, both, pairs, prepared

NU = 1.0
"""Davidson's ν: two texts of equal scores are as often said to be alike as either to be better."""


def points(scores: Tensor, labels: Tensor) -> Terms:
    """Reward a probability close to what was said of a text alone: `bce` over groups of one text.

    Labels of a preference say which of two is better, not how good either is: longer groups do not
    count. Terms are texts.
    """
    alone = (~labels.isnan()).sum(1, keepdim=True) == 1
    return bce(scores, labels.masked_fill(~alone, torch.nan))


def bradley_terry(scores: Tensor, labels: Tensor, *, nu: float = NU) -> Terms:
    """Reward the likelihood of what was preferred: of e^s_i, e^s_j and ν · e^((s_i + s_j) / 2), for
    i better, j better, and "about the same", the share of what was said.

    Bradley-Terry with ties (Davidson, On Extending the Bradley-Terry Model to Accommodate Ties in
    Paired Comparison Experiments, JASA 1970, https://doi.org/10.1080/01621459.1970.10481082): a tie
    draws scores together, more so the further they lie apart. The text of the higher label is the
    better one, equal labels are a tie. Terms are pairs.
    """
    scores, labels, texts = prepared(scores, labels)
    gaps = pairs(scores)  # (groups, size i, size j)
    ties = torch.full_like(gaps, nu).log()
    said = torch.where(pairs(labels) > 0, gaps / 2, ties)
    losses = torch.stack((gaps / 2, -gaps / 2, ties)).logsumexp(0) - said
    # Of a pair that differs the row of the better text counts, of a tie one of the two.
    upper = torch.ones_like(gaps, dtype=torch.bool).triu(1)
    counted = both(texts) & ((pairs(labels) > 0) | ((pairs(labels) == 0) & upper))
    return Terms((losses * counted).sum((1, 2)), counted.sum((1, 2)))
