"""Losses for rerankers, each a function of scores and labels, and mixtures of them.

A loss takes scores and labels of the shape (groups, size) and returns Terms, whose mean is what
is minimised.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.losses.contrastive import lce, poly
from retrieve_rerank.training.losses.distillation import kl, permutation
from retrieve_rerank.training.losses.feedback import bradley_terry, points
from retrieve_rerank.training.losses.likelihood import rankinggpt
from retrieve_rerank.training.losses.listwise import (
    adr_mse,
    list_ce,
    list_mle,
    list_net,
    p_list_mle,
)
from retrieve_rerank.training.losses.mixture import Mixture, Part
from retrieve_rerank.training.losses.ndcg import Weighting, approx_ndcg, lambda_loss
from retrieve_rerank.training.losses.pairwise import margin_mse, ranknet
from retrieve_rerank.training.losses.pointwise import bce, mse
from retrieve_rerank.training.losses.terms import Loss, Terms, pad
from retrieve_rerank.training.losses.tokens import difference, next_token

__all__ = [
    "LOSSES",
    "TOKEN_LOSSES",
    "Loss",
    "Mixture",
    "Part",
    "Terms",
    "Weighting",
    "adr_mse",
    "approx_ndcg",
    "bce",
    "bradley_terry",
    "difference",
    "find_loss",
    "kl",
    "lambda_loss",
    "lce",
    "list_ce",
    "list_mle",
    "list_net",
    "margin_mse",
    "mse",
    "next_token",
    "p_list_mle",
    "pad",
    "permutation",
    "points",
    "poly",
    "rankinggpt",
    "ranknet",
]

LOSSES: Mapping[str, Loss] = {
    "bce": bce,
    "mse": mse,
    "lce": lce,
    "poly": poly,
    "ranknet": ranknet,
    "list-net": list_net,
    "list-ce": list_ce,
    "list-mle": list_mle,
    "p-list-mle": p_list_mle,
    "adr-mse": adr_mse,
    "lambda": lambda_loss,
    "approx-ndcg": approx_ndcg,
    "margin-mse": margin_mse,
    "kl": kl,
    "permutation": permutation,
    "points": points,
    "bradley-terry": bradley_terry,
    "rankinggpt": rankinggpt,
}

TOKEN_LOSSES = ("next-token", "whole-sequence", "difference")
"""Losses of language models, which learn from tokens and not from scores: `next_token` over the
answer, `next_token` over all that was read, and `difference` over the same."""

# RAG-Retrieval's names for the same functions, so that its configurations are read.
_ALIASES: Mapping[str, str] = {
    "point_ce": "bce",
    "point_mse": "mse",
    "pointwise_bce": "bce",
    "pointwise_mse": "mse",
    "pairwise_ranknet": "ranknet",
    "listwise_ce": "list-ce",
}


def find_loss(name: str) -> Loss:
    """Return the loss of a name, RAG-Retrieval's names too; raise ConfigError for another."""
    loss = LOSSES.get(_ALIASES.get(name, name))
    if loss is None:
        known = [*LOSSES, *TOKEN_LOSSES]
        near = get_close_matches(name, [*known, *_ALIASES], n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"unknown loss {name!r}{meant} (known: {', '.join(known)})")
    return loss
