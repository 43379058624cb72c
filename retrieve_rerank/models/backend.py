"""What runs a batch through a network, whichever library does it.

Knows nothing of texts, pooling or scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from retrieve_rerank.base import Vectors
from retrieve_rerank.models.batching import TOKEN_BUDGET, TokenBatch, Tokens, batches, pad


class Backend(Protocol):
    """A loaded network; may be called from many threads at once."""

    @property
    def description(self) -> str:
        """Library, device and precision, for people."""

    def run(self, batch: TokenBatch) -> Vectors:
        """Return an encoder's hidden states (n, tokens, dim), a pair model's logits (n, labels).

        Of a language model the logits (n, tokens, words).
        """


def run_all(
    backend: Backend,
    sequences: Sequence[Tokens],
    *,
    pad_id: int,
    budget: int = TOKEN_BUDGET,
) -> Iterator[tuple[int, Vectors]]:
    """Run all sequences in batches of like length; yield (index, its output), in any order.

    A batch has at most `budget` tokens. The padded positions' outputs are cut off.
    """
    for indices in batches([len(sequence.ids) for sequence in sequences], budget=budget):
        output = backend.run(pad([sequences[i] for i in indices], pad_id=pad_id))
        for row, index in enumerate(indices):
            ends = len(sequences[index].ids) if output.ndim == 3 else None
            yield index, output[row, :ends]
