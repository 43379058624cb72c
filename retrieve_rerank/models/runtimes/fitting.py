"""Batches that become smaller when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from retrieve_rerank.concurrency.caller import check_waited_for
from retrieve_rerank.errors import ModelError, OutOfMemoryError
from retrieve_rerank.models.causal.pretrained import said
from retrieve_rerank.models.runtimes.torch import out_of_memory

T = TypeVar("T")


def run_fitting(
    lengths: Sequence[int], run: Callable[[list[int]], Sequence[T]], *, budget: int
) -> Iterator[tuple[int, T]]:
    """Call `run` on groups of indices of like length; yield (index, its result), in any order.

    A group, padded to its longest member, has at most `budget` tokens. Where memory runs out it
    is halved, as are those after it; what has been computed is kept. Raises OutOfMemoryError
    where even one alone does not fit, ModelError for whatever else torch fails at, and
    DeadlineExceededError as soon as nobody waits, see `check_waited_for`.
    """
    waiting = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while waiting:
        check_waited_for()
        longest = max(lengths[waiting[0]], 1)
        group = waiting[: max(budget // longest, 1)]
        try:
            results = run(group)
        except Exception as exc:  # whatever a network's own code raises
            if not out_of_memory(exc):
                raise ModelError(f"torch failed on a batch: {said(exc)}") from exc
            if len(group) == 1:
                raise OutOfMemoryError(
                    f"out of memory with one prompt of {longest} tokens alone: shorten documents"
                    " with max_tokens, or take a smaller model or a larger device"
                ) from exc
            budget = len(group) // 2 * longest
        else:
            yield from zip(group, results, strict=True)
            waiting = waiting[len(group) :]
            continue
        torch.cuda.empty_cache()  # here, where the failed batch is no longer held
