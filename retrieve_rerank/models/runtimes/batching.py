"""Token sequences to padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Batching(NamedTuple):
    """How large a backend's batches are to be."""

    budget: int
    """Tokens in a batch at most, padding included."""
    overhead: int
    """What one more batch costs, as the number of tokens that are computed in that time."""
    padded: bool = True
    """Whether sequences are filled up to the longest, and that is computed too."""

    def tokens(self, lengths: Sequence[int]) -> int:
        """Return how many tokens are computed of sequences that make a batch."""
        return len(lengths) * max(lengths) if self.padded else sum(lengths)

    @property
    def filled(self) -> int:
        """Return the tokens beyond which a batch gains a tenth at most from more."""
        return min(self.budget, 9 * self.overhead)


# Of CPUs: enough to fill the cores, little enough for the caches. The overheads were measured with
# MiniLM-L6 on two cores with AVX2: some 25 tokens with OpenVINO and 70 with torch, see
# docs/benchmarks/speed.md. Where more cores, or int8, compute a token faster, they are more.
OPENVINO = Batching(2048, 32)
TORCH_CPU = Batching(2048, 64)
PACKED = TORCH_CPU._replace(padded=False)
GPU = Batching(16_384, 16_384)
"""A GPU is idle while it is sent small batches: as few as may be."""


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


def batches(lengths: Sequence[int], batching: Batching) -> list[list[int]]:
    """Group indices of sequences, the longest first, so that all of them take the least time.

    That is the time of the tokens, padding included, and each batch's overhead. A group is within
    the budget; a sequence that is not is alone. A shortest path: the best way to group the longest
    sequences ends with some group, and has before it the best way to group those that are left.
    """
    order = np.argsort([-length for length in lengths], kind="stable")
    longest = np.array([lengths[i] for i in order], dtype=np.int64)
    summed = np.append(0, longest.cumsum())
    least = np.zeros(len(order) + 1, dtype=np.int64)
    begins = np.zeros(len(order) + 1, dtype=np.int64)
    first = 0
    for end in range(1, len(order) + 1):
        starts = np.arange(first, end)
        filled_up, alone = (end - starts) * longest[starts], summed[end] - summed[starts]
        tokens = filled_up if batching.padded else alone
        fits = tokens <= batching.budget
        fits[-1] = True  # of one sequence
        starts, tokens = starts[fits], tokens[fits]
        taken = least[starts] + tokens
        best = taken.argmin()
        least[end], begins[end] = taken[best] + batching.overhead, starts[best]
        first = starts[0]  # with more sequences no earlier one fits either
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(order[begins[end] : end].tolist())
        end = int(begins[end])
    return groups[::-1]


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
