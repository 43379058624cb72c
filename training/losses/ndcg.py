"""Losses that approximate nDCG: labels are grades of 0 or more, with the gain 2^grade − 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.losses.listwise import approximate_ranks
from retrieve_rerank.training.losses.terms import Terms, both, pairs, prepared

Weighting = Literal["none", "lambda-rank", "ndcg2", "ndcg2++"]


def lambda_loss(
    scores: Tensor, labels: Tensor, *, weighting: Weighting = "ndcg2++", k: int | None = None
) -> Terms:
    """Reward the better text of a pair by what its order is worth: Σ w · log₂(1 + e^−(s_i − s_j)).

    The LambdaLoss framework (Wang et al., CIKM 2018); pairs have y_i > y_j, and G is the gain over
    the ideal DCG, D(r) = log₂(1 + r), ranks by the scores:

    - `none`: w = 1, RankNet
    - `lambda-rank`: w = |G_i − G_j| · |1/D(r_i) − 1/D(r_j)|, what swapping the two costs (eq. 9)
    - `ndcg2`: w = |G_i − G_j| · |1/D(|r_i − r_j|) − 1/D(|r_i − r_j| + 1)|, a tighter bound (eq. 14)
    - `ndcg2++`: 10 · `ndcg2` + `lambda-rank` (eq. 17; the factor is the paper's μ)

    With `k`, pairs count of which one text at least is among the first k, for nDCG@k (eq. 18).
    Terms are pairs. Raises InputError for labels below 0.
    """
    scores, labels, texts = prepared(scores, labels)
    _check_grades("lambda_loss", labels)
    if weighting not in _WEIGHTS:
        raise InputError(
            f"unknown weighting {weighting!r}; known: {', '.join(get_args(Weighting))}"
        )
    order = scores.masked_fill(~texts, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    scores, labels, texts = (values.gather(1, order) for values in (scores, labels, texts))
    ranks = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    ideal = _gains(labels).sort(1, descending=True).values / torch.log2(1.0 + ranks)
    gains = _gains(labels) / ideal[:, :k].sum(1, keepdim=True).clamp(min=1e-10)
    counted = both(texts) & (pairs(labels) > 0)
    if k is not None:
        counted &= (ranks[:, None] <= k) | (ranks[None, :] <= k)
    weights = _WEIGHTS[weighting](pairs(gains).abs(), ranks)
    losses = weights * F.softplus(-pairs(scores)) / torch.log(torch.tensor(2.0))
    return Terms((losses * counted).sum((1, 2)), counted.sum((1, 2)))


def approx_ndcg(scores: Tensor, labels: Tensor, *, alpha: float = 10.0) -> Terms:
    """Reward nDCG itself, with ranks that have a gradient: 1 − Σ G_i / log₂(1 + r̂_i) / ideal.

    Qin, Liu and Li, "A general approximation framework for direct optimization of information
    retrieval measures", Information Retrieval 13 (2010); α = 10 as in Bruch et al., SIGIR 2019.
    A group without a positive has no nDCG and counts nothing. Terms are lists. Raises InputError
    for labels below 0.
    """
    scores, labels, texts = prepared(scores, labels)
    _check_grades("approx_ndcg", labels)
    gains = _gains(labels) * texts
    ranks = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    ideal = (gains.sort(1, descending=True).values / torch.log2(1.0 + ranks)).sum(1)
    dcg = (gains / torch.log2(1 + approximate_ranks(scores, texts, alpha))).sum(1)
    some = ideal > 0
    return Terms((1 - dcg / ideal.masked_fill(~some, 1.0)) * some, some.long())


def _lambda_rank(gaps: Tensor, ranks: Tensor) -> Tensor:
    discounts = 1 / torch.log2(1.0 + ranks)
    return gaps * (discounts[:, None] - discounts[None, :]).abs()


def _ndcg2(gaps: Tensor, ranks: Tensor) -> Tensor:
    apart = (ranks[:, None] - ranks[None, :]).abs().clamp(min=1)
    return gaps * (1 / torch.log2(1.0 + apart) - 1 / torch.log2(2.0 + apart))


_WEIGHTS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda gaps, ranks: torch.ones_like(gaps),
    "lambda-rank": _lambda_rank,
    "ndcg2": _ndcg2,
    "ndcg2++": lambda gaps, ranks: 10 * _ndcg2(gaps, ranks) + _lambda_rank(gaps, ranks),
}


def _gains(labels: Tensor) -> Tensor:
    return torch.pow(2.0, labels) - 1


def _check_grades(name: str, labels: Tensor) -> None:
    if labels.numel() and labels.min() < 0:
        raise InputError(
            f"{name} needs grades of 0 or more; got {labels.min():g}: for ranks as labels take"
            " ranknet, list_mle or adr_mse"
        )
