"""Losses that look at one text at a time: they teach what a score means, beside its order."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.losses.terms import Terms, prepared


def bce(scores: Tensor, labels: Tensor) -> Terms:
    """Reward a probability close to the label: −y log σ(s) − (1 − y) log(1 − σ(s)).

    The only loss here after which a score reads as a probability; labels between 0 and 1 are soft
    (Nogueira and Cho, https://arxiv.org/abs/1901.04085, §3). Terms are texts. Raises InputError
    for labels outside 0 … 1.
    """
    scores, labels, texts = prepared(scores, labels)
    _check_range("bce", labels)
    losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    return Terms((losses * texts).sum(1), texts.sum(1))


def mse(scores: Tensor, labels: Tensor) -> Terms:
    """Reward a probability close to the label, by its square: (σ(s) − y)².

    Gentler than `bce` on labels that are wrong: its gradient vanishes where the model is sure.
    Labels lie between 0 and 1, as RAG-Retrieval's `pointwise_mse` has them. Terms are texts.
    Raises InputError for labels outside 0 … 1.
    """
    scores, labels, texts = prepared(scores, labels)
    _check_range("mse", labels)
    return Terms(((scores.sigmoid() - labels).square() * texts).sum(1), texts.sum(1))


def _check_range(name: str, labels: Tensor) -> None:
    if labels.numel() and (labels.min() < 0 or labels.max() > 1):
        raise InputError(
            f"{name} needs labels between 0 and 1; got {labels.min():g} … {labels.max():g}: give"
            " the lowest and the highest label, to scale by, or take a loss that compares texts"
        )
