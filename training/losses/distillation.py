"""Losses that teach a model what another one thinks: labels are the teacher's scores or ranks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from retrieve_rerank.training.losses.terms import Terms, pairs, prepared, without


def kl(scores: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Terms:
    """Reward a distribution over the list close to the teacher's: T² KL(softmax t/T ‖ softmax s/T).

    Distillation with a temperature (Hinton et al., https://arxiv.org/abs/1503.02531, §2: T² keeps
    the gradient's size). The teacher's scores are brought to mean 0 and variance 1 in each list:
    teachers' scores lie in ranges of their own, and one with a spread of 20 would say "the first"
    and nothing of the rest. Equal scores stay equal. Terms are lists.
    """
    scores, teacher, texts = prepared(scores, teacher)
    wanted = _log_shares(_standardised(teacher, texts) / temperature, texts)
    found = _log_shares(scores / temperature, texts)
    losses = wanted.exp() * (wanted - found) * texts
    return Terms(temperature**2 * losses.sum(1), texts.any(1).long())


def permutation(scores: Tensor, teacher: Tensor) -> Terms:
    """Reward the teacher's order of each pair: log(1 + e^−(s_i − s_j)) where t_i > t_j.

    Permutation distillation (Sun et al., https://arxiv.org/abs/2304.09542, §4.2) for teachers that
    answer with an order alone: their scores count down, and only their order counts here. Equal
    ones, where the teacher made no difference, teach nothing. Terms are pairs.
    """
    order = teacher.unsqueeze(2) > teacher.unsqueeze(1)  # False where either is NaN
    scores, _, _ = prepared(scores, teacher)
    losses = order * F.softplus(-pairs(scores))
    return Terms(losses.sum((1, 2)), order.sum((1, 2)))


def _standardised(values: Tensor, texts: Tensor) -> Tensor:
    n = texts.sum(1, keepdim=True).clamp(min=1)
    centred = (values - values.sum(1, keepdim=True) / n) * texts
    deviation = (centred.square().sum(1, keepdim=True) / n).sqrt()
    return centred / deviation.masked_fill(deviation == 0, 1.0)


def _log_shares(values: Tensor, texts: Tensor) -> Tensor:
    return F.log_softmax(without(values, ~texts), 1).masked_fill(~texts, 0.0)
