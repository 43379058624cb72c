"""Losses of language models: over the tokens that they should have said, or over all there are.

Log-probabilities have the shape (sequences, tokens), or (sequences, tokens, vocabulary); `real`
says where there is a token and no padding. Terms are tokens, a sum for each sequence.
"""

from __future__ import annotations

from torch import Tensor

from retrieve_rerank.training.losses.terms import Terms


def next_token(log_p: Tensor, real: Tensor) -> Terms:
    """Reward the likelihood of each token after those before it: −log p(t_i | t_1 … t_i−1).

    Over an answer's tokens it is supervised fine-tuning; over a query's, after a prompt with the
    document, RankingGPT's first stage (Zhang et al., https://arxiv.org/abs/2311.16720, eq. 2).
    """
    return Terms(-log_p.masked_fill(~real, 0.0).sum(1), real.sum(1))


def difference(log_p: Tensor, reference: Tensor, real: Tensor) -> Terms:
    """Penalise what differs from the model that training started from: Σ_v p'(v) log p'(v) / p(v).

    KL(p' ‖ p) at each token, p' the frozen model's (RankingGPT, eq. 6: the difference penalty,
    which keeps what was learnt of language). Padding is left out, which the authors' code counts.
    """
    losses = (reference.exp() * (reference - log_p)).sum(2)
    return Terms(losses.masked_fill(~real, 0.0).sum(1), real.sum(1))
