"""Token sequences to padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CPU_TOKEN_BUDGET = 2048
"""Tokens in a batch, padding included: enough to fill the cores, little enough for the caches."""
GPU_TOKEN_BUDGET = 16_384
"""Tokens in a batch on a GPU, which is idle while it is sent small ones."""


class Tokens(NamedTuple):
    """One tokenised text, or pair of texts."""

    ids: Sequence[int]
    type_ids: Sequence[int]
    """Which text of a pair each token belongs to."""
    truncated: bool
    attended: int
    """How many of them, from the first, the others see."""
    first_truncated: bool = False
    """Whether the first text of a pair was cut."""


class TokenBatch(NamedTuple):
    """Sequences padded on the right to the longest; all arrays are int64 (n, tokens)."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]

    @property
    def position_ids(self) -> NDArray[np.int64]:
        """Positions from 0."""
        return np.broadcast_to(
            np.arange(self.input_ids.shape[1], dtype=np.int64), self.input_ids.shape
        )


def batches(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Group indices of sequences of like length, longest first.

    Padded to its longest member a group has at most `budget` tokens; a sequence longer than
    that is alone.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and (len(group) + 1) * lengths[group[0]] > budget:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def pad(sequences: Sequence[Tokens], *, pad_id: int) -> TokenBatch:
    """Pad on the right to the longest sequence.

    On the right for every model: what a real token's output depends on is the same on either
    side, and each row's real tokens are its first.
    """
    shape = (len(sequences), max(len(sequence.ids) for sequence in sequences))
    ids = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    type_ids = np.zeros(shape, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        end = len(sequence.ids)
        ids[row, :end] = sequence.ids
        mask[row, : sequence.attended] = 1
        type_ids[row, :end] = sequence.type_ids
    return TokenBatch(ids, mask, type_ids)
