"""What is sent, written or computed at once: a stream cut by number and by size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def cut(
    items: Iterable[T], size_of: Callable[[T], float], *, size: float, count: float
) -> Iterator[list[T]]:
    """Cut into lists of at most `count` items and, unless it is one item, `size` in sum."""
    batch: list[T] = []
    total = 0.0
    for item in items:
        more = size_of(item)
        if batch and (len(batch) >= count or total + more > size):
            yield batch
            batch, total = [], 0.0
        batch.append(item)
        total += more
    if batch:
        yield batch
