"""Losses that compare two texts at a time."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from retrieve_rerank.training.losses.terms import Terms, both, pairs, prepared


def ranknet(scores: Tensor, labels: Tensor) -> Terms:
    """Reward the better text of each pair: (y_i − y_j) · log(1 + e^−(s_i − s_j)) where y_i > y_j.

    RankNet (Burges et al., ICML 2005) weighted by the gap of the labels, as RAG-Retrieval's
    `pairwise_ranknet`: of labels −20 … −1, only the order and the gaps count. Terms are pairs, so
    that the mean is over the batch's pairs: a long list weighs more than a short one.
    """
    scores, labels, texts = prepared(scores, labels)
    gaps = pairs(labels).clamp(min=0) * both(texts)
    losses = gaps * F.softplus(-pairs(scores))
    return Terms(losses.sum((1, 2)), (gaps > 0).sum((1, 2)))


def margin_mse(scores: Tensor, teacher: Tensor) -> Terms:
    """Reward the teacher's margins: ((s⁺ − s⁻) − (t⁺ − t⁻))², the teacher's best text the positive.

    Margin-MSE (Hofstätter et al., https://arxiv.org/abs/2010.02666, eq. 3), on logits: margins
    transfer between models whose scores lie in different ranges, probabilities' margins saturate.
    Terms are pairs.
    """
    scores, teacher, texts = prepared(scores, teacher)
    best = teacher.masked_fill(~texts, -float("inf")).argmax(1, keepdim=True)
    margins = scores.gather(1, best) - scores
    wanted = teacher.gather(1, best) - teacher
    others = texts.scatter(1, best, False)
    return Terms(((margins - wanted).square() * others).sum(1), others.sum(1))
