"""Losses that look at a whole list at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from retrieve_rerank.training.losses.terms import Terms, both, pairs, prepared, without


def list_net(scores: Tensor, labels: Tensor) -> Terms:
    """Reward a distribution over the list close to the labels': −Σ softmax(y) · log softmax(s).

    ListNet's top-one probabilities (Cao et al., ICML 2007, eq. 6). All labels count: of 0 and 1,
    a negative is given e⁰ / e¹ = 37 % of a positive's share. Terms are lists.
    """
    scores, labels, texts = prepared(scores, labels)
    return _cross_entropy(scores, labels, texts, texts)


def list_ce(scores: Tensor, labels: Tensor) -> Terms:
    """Reward as `list_net` does, with labels of 0 outside the softmax over labels.

    RAG-Retrieval's `listwise_ce`; with a single label above 0 it is `lce`. A group of zeros has
    nothing to teach and counts nothing (there it makes the whole loss NaN). Terms are lists.
    """
    scores, labels, texts = prepared(scores, labels)
    return _cross_entropy(scores, labels, texts, texts & (labels != 0))


def list_mle(scores: Tensor, labels: Tensor) -> Terms:
    """Reward the likelihood of the labels' order: −Σ_i log (e^s_i / Σ_{j ≥ i} e^s_j).

    ListMLE (Xia et al., ICML 2008). Equal labels are taken in the order that they come in: shuffle
    groups that have many. Terms are lists.
    """
    scores, labels, texts = prepared(scores, labels)
    losses, texts = _plackett_luce(scores, labels, texts)
    return Terms((losses * texts).sum(1), texts.any(1).long())


def p_list_mle(scores: Tensor, labels: Tensor) -> Terms:
    """Reward as `list_mle` does, the first positions most: position i of n weighs 2^(n−i) − 1.

    Position-aware ListMLE (Lan et al., UAI 2014, eq. 7). The weights of a list add up to 1, so
    that a long one does not outweigh the rest. Terms are lists.
    """
    scores, labels, texts = prepared(scores, labels)
    losses, texts = _plackett_luce(scores, labels, texts)
    # 2^(n−i) − 1 over 2^n, which keeps it finite: 2^−i − 2^−n
    n = texts.sum(1, keepdim=True)
    i = torch.arange(1, texts.shape[1] + 1, device=texts.device)
    weights = (torch.pow(2.0, -i) - torch.pow(2.0, -n)).clamp(min=0) * texts
    weights = weights / weights.sum(1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return Terms((losses * weights).sum(1), texts.any(1).long())


def adr_mse(scores: Tensor, labels: Tensor, *, alpha: float = 1.0) -> Terms:
    """Reward ranks close to the labels' ranks, the first most: (r − r̂)² / log₂(r + 1).

    Approximate discounted rank MSE (Schlatt et al., https://arxiv.org/abs/2405.07920, eq. 3), with
    the differentiable rank r̂_i = 1 + Σ_{j≠i} σ(α (s_j − s_i)). Equal labels share the mean of
    their ranks. Terms are texts.
    """
    scores, labels, texts = prepared(scores, labels)
    valid = both(texts)
    better = -pairs(labels)  # (groups, i, j): above 0 where j is better than i
    above, equal = ((better > 0) & valid).sum(2), ((better == 0) & valid).sum(2)
    ranks = above + (equal + 1) / 2
    losses = (ranks - approximate_ranks(scores, texts, alpha)).square() / torch.log2(ranks + 1)
    return Terms((losses * texts).sum(1), texts.sum(1))


def approximate_ranks(scores: Tensor, texts: Tensor, alpha: float) -> Tensor:
    """Return 1 + Σ_{j≠i} σ(α (s_j − s_i)), (groups, size): ranks that have a gradient.

    Qin, Liu and Li, Information Retrieval 13 (2010), eq. 12.
    """
    above = torch.sigmoid(-alpha * pairs(scores)) * both(texts)
    return 1 + above.sum(2) - 0.5 * texts  # a text is not above itself: σ(0)


def _cross_entropy(scores: Tensor, labels: Tensor, texts: Tensor, wanted: Tensor) -> Terms:
    targets = without(labels, ~wanted).softmax(1) * wanted
    losses = targets * F.log_softmax(without(scores, ~texts), 1).masked_fill(~texts, 0.0)
    return Terms(-losses.sum(1), wanted.any(1).long())


def _plackett_luce(scores: Tensor, labels: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Return −log of each position's probability, best label first, and where there are texts."""
    order = labels.masked_fill(~texts, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    scores, texts = scores.gather(1, order), texts.gather(1, order)
    # The least finite number, not −inf, whose gradient through logcumsumexp is NaN.
    left = scores.masked_fill(~texts, torch.finfo(scores.dtype).min)
    return left.flip(1).logcumsumexp(1).flip(1) - scores, texts
