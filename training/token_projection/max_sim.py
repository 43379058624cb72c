"""MaxSim with a gradient, of tokens pooled as an index stores them.

Tokens of several texts lie one after another, (tokens, dim), rows of length 1; `lengths` tell how
many are each text's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.02
"""Of MaxSim's scores in a loss: they are means of cosines, and lie close together."""


def pool_tokens(
    tokens: Tensor, lengths: Sequence[int], *, factor: int
) -> tuple[Tensor, Sequence[int]]:
    """Average each run of `factor` neighbours of a text, and tell the lengths that are left.

    Rows come out with length 1; the last run of a text may be shorter.
    """
    kept = [-(-length // factor) for length in lengths]
    firsts = torch.tensor([0, *kept]).cumsum(0)
    into = torch.cat(
        [torch.arange(length) // factor + firsts[n] for n, length in enumerate(lengths)]
    ).to(tokens.device)
    sums = tokens.new_zeros(sum(kept), tokens.shape[1]).index_add(0, into, tokens)
    return F.normalize(sums, dim=1), kept


def max_sim(
    queries: Tensor,
    query_lengths: Sequence[int],
    documents: Tensor,
    document_lengths: Sequence[int],
) -> Tensor:
    """Score each document for each query, (queries, documents).

    The mean over a query's tokens of the largest product with any of the document's.
    """
    products = queries @ documents.T  # (all query tokens, all document tokens)
    lengths = torch.tensor(document_lengths, device=products.device)[:, None]
    places = torch.arange(max(document_lengths), device=products.device)
    # Each document's columns, (documents, longest); shorter ones repeat their last.
    columns = lengths.cumsum(0) - lengths + places.minimum(lengths - 1)
    with torch.no_grad():
        at = products[:, columns].argmax(dim=2)
    best = products.gather(1, columns.gather(1, at.T).T)
    sums = best.new_zeros(len(query_lengths), best.shape[1])
    sums = sums.index_add(0, _numbers(query_lengths, products.device), best)
    return sums / torch.tensor(query_lengths, device=sums.device)[:, None]


def _numbers(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return for each token the number of its text."""
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
