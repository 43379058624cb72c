"""What runs a batch through a network, whichever library does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from retrieve_rerank.base import Vectors
from retrieve_rerank.concurrency.caller import check_waited_for
from retrieve_rerank.errors import OutOfMemoryError
from retrieve_rerank.models.runtimes.batching import Batching, TokenBatch, Tokens, batches, pad


class Backend(Protocol):
    """A loaded network; may be called from many threads at once."""

    @property
    def description(self) -> str:
        """Library, device and precision, for people."""

    @property
    def batching(self) -> Batching:
        """How large its batches are to be."""

    def run(self, batch: TokenBatch) -> Vectors:
        """Return an encoder's hidden states (n, tokens, dim), a pair model's logits (n, labels).

        Of a language model the logits (n, tokens, words). Raises OutOfMemoryError where a
        smaller batch might do, and ModelError for all else that fails.
        """


def run_all(
    backend: Backend,
    sequences: Sequence[Tokens],
    *,
    pad_id: int,
    budget: int | None = None,
) -> Iterator[tuple[int, Vectors]]:
    """Run all sequences in the `batches` that take the least time; yield (index, its output), in
    any order.

    A batch has at most `budget` tokens, the backend's own where None; where memory runs out it is
    halved, as are those after it, and what has been computed is kept. The padded positions' outputs
    are cut off. Raises OutOfMemoryError where even one sequence alone does not fit, and
    DeadlineExceededError as soon as nobody waits, see `check_waited_for`.
    """
    batching = backend.batching
    if budget is not None:
        batching = batching._replace(budget=budget)
    groups = iter(batches([len(sequence.ids) for sequence in sequences], batching))
    for indices in groups:
        check_waited_for()
        output = None
        try:
            output = backend.run(pad([sequences[i] for i in indices], pad_id=pad_id))
        except OutOfMemoryError:
            if len(indices) == 1:
                raise
        if output is None:  # only here, where no exception holds the failed batch any more
            halved = batching.tokens([len(sequences[i].ids) for i in indices]) // 2
            left = [*indices, *(i for group in groups for i in group)]
            rest = [sequences[i] for i in left]
            for place, result in run_all(backend, rest, pad_id=pad_id, budget=halved):
                yield left[place], result
            return
        for row, index in enumerate(indices):
            ends = len(sequences[index].ids) if output.ndim == 3 else None
            yield index, output[row, :ends]
