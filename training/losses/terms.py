"""What every loss is given and returns.

Scores and labels have the shape (groups, size): a row for each query, a column for each of its
texts, the labels NaN where a group has fewer texts than the longest (`pad`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class Terms(NamedTuple):
    """A loss before it is averaged: over batches, accumulation steps and ranks it is one mean.

    The mean of several batches' means weighs a term of a small batch more than one of a large
    batch, so that the same data train differently when memory asks for smaller batches.
    """

    sums: Tensor
    """(groups,), float32."""
    counts: Tensor
    """(groups,): how many terms (texts, pairs or lists) each sum has. Labels alone decide it."""

    def mean(self, count: Tensor | float | None = None) -> Tensor:
        """Divide by `count` terms, else by one's own; 0 where there are none."""
        terms = self.counts.sum() if count is None else torch.as_tensor(count)
        return self.sums.sum() / terms.clamp(min=1)


Loss: TypeAlias = Callable[[Tensor, Tensor], Terms]
"""(scores, labels), both (groups, size), -> Terms."""


def pad(rows: Sequence[Sequence[float]]) -> Tensor:
    """Make labels of unequal groups, (groups, size) in float32, NaN where there is no text."""
    tensors = [torch.tensor(row, dtype=torch.float32) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=torch.nan)


def prepared(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores and labels in float32, 0 where there is no text, and where there are texts.

    Half precision would lose what tells good texts apart: bf16 has 8 bits, and labels of −20 lose
    their gaps. A score where there is no text may be anything, NaN too, and gets no gradient.
    """
    texts = ~labels.isnan()
    return scores.float().masked_fill(~texts, 0.0), labels.float().masked_fill(~texts, 0.0), texts


def without(values: Tensor, absent: Tensor) -> Tensor:
    """Take entries out of a softmax, but leave rows that have none as they are.

    A row of −inf alone would make the softmax NaN, and its gradient too.
    """
    return values.masked_fill(absent & ~absent.all(dim=-1, keepdim=True), -torch.inf)


def pairs(values: Tensor) -> Tensor:
    """Return v_i − v_j for all pairs, (groups, size i, size j)."""
    return values.unsqueeze(2) - values.unsqueeze(1)


def both(texts: Tensor) -> Tensor:
    """Return where both i and j are texts, (groups, size i, size j)."""
    return texts.unsqueeze(2) & texts.unsqueeze(1)
