"""What the best scores leave of a loss: 0 of most, and more where labels are unsure or equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from retrieve_rerank.training.losses.feedback import bradley_terry, points
from retrieve_rerank.training.losses.listwise import list_ce, list_mle, list_net, p_list_mle
from retrieve_rerank.training.losses.pointwise import bce
from retrieve_rerank.training.losses.terms import Loss

_FAR = 1e3  # so far apart that no probability is left for the worse text
_EDGE = 1e-6


def least(loss: Loss, labels: Tensor) -> Tensor:
    """Return the mean of a loss's terms at the best scores, a scalar."""
    best = _BEST.get(loss)
    return labels.new_zeros(()) if best is None else loss(best(labels), labels).mean()


def _in_order(labels: Tensor) -> Tensor:
    return _FAR * labels


_BEST: Mapping[Loss, Callable[[Tensor], Tensor]] = {
    list_net: lambda labels: labels,
    list_ce: lambda labels: labels.masked_fill(labels == 0, -_FAR),
    list_mle: _in_order,
    p_list_mle: _in_order,
    bradley_terry: _in_order,
    bce: lambda labels: labels.logit(_EDGE),
    points: lambda labels: labels.logit(_EDGE),
}
"""Loss -> its best scores for labels, of those whose least value is not 0."""
