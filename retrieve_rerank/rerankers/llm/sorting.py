"""Finding the best documents by comparisons that are dear.

Items are numbers from 0 in their incoming order. `choose` is given groups of them, each in that
order, and returns the best of each, the first of equals, so that equal items keep their order.
Groups that can be compared at the same time come in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

Choose = Callable[[Sequence[Sequence[int]]], Sequence[int]]


def heap_top_k(count: int, k: int, choose: Choose, *, set_size: int) -> list[int]:
    """Find the best `k` of `count` items by a heap sort that stops after them, best first.

    A node and its `set_size` − 1 children are compared at once: about count / (set_size − 1)
    comparisons to build the heap and log(count) for each item taken. S. Zhuang et al.: A Setwise
    Approach for Effective and Highly Efficient Zero-shot Ranking with Large Language Models,
    https://arxiv.org/abs/2310.09497.
    """
    children = set_size - 1
    heap = list(range(count))

    def sink(nodes: Sequence[int]) -> None:
        """Let items sink to their places, all of `nodes`, of which none is below another."""
        while nodes := [node for node in nodes if node * children + 1 < len(heap)]:
            families = [
                [node, *range(node * children + 1, min((node + 1) * children + 1, len(heap)))]
                for node in nodes
            ]
            best = choose([sorted(heap[place] for place in family) for family in families])
            winners = [heap.index(item) for item in best]
            for node, winner in zip(nodes, winners, strict=True):
                heap[node], heap[winner] = heap[winner], heap[node]
            nodes = [winner for node, winner in zip(nodes, winners, strict=True) if winner != node]

    levels = [range(0, 1)]
    while levels[-1].stop < count:
        levels.append(range(levels[-1].stop, levels[-1].stop + len(levels[-1]) * children))
    for level in reversed(levels):
        sink(level)
    taken: list[int] = []
    while len(taken) < min(k, count):
        taken.append(heap[0])
        last = heap.pop()
        if heap and len(taken) < k:
            heap[0] = last
            sink([0])
    return taken


def bubble_top_k(count: int, k: int, choose: Choose, *, set_size: int) -> list[int]:
    """Find the best `k` of `count` items by `k` passes from the bottom to the top, best first.

    Each pass compares `set_size` neighbours at once and lifts the best of them: about
    count / (set_size − 1) comparisons a pass, fewer than a heap for small `k`, and it makes the
    most of an incoming order that is good already (PRP-Sliding-K: Z. Qin et al.,
    https://arxiv.org/abs/2306.17563).
    """
    order = list(range(count))
    for top in range(min(k, count)):
        end = count
        while end - top > 1:
            start = max(top, end - set_size)
            [best] = choose([sorted(order[start:end])])
            order.remove(best)
            order.insert(start, best)
            end = start + 1
    return order[:k]


SORTS: Mapping[str, Callable[..., list[int]]] = {"heap": heap_top_k, "bubble": bubble_top_k}


def above_the_rest(taken: Sequence[int], count: int) -> list[float]:
    """Score the items that were taken, best first, down to 1, and the rest 0."""
    scores = [0.0] * count
    for below, item in enumerate(reversed(taken), start=1):
        scores[item] = float(below)
    return scores


def windows(count: int, *, size: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut `count` ranks into overlapping windows [start, end), from the bottom to the top.

    The last one starts at the top, however the numbers fall. W. Sun et al.: Is ChatGPT Good at
    Search?, https://arxiv.org/abs/2304.09542 (RankGPT).
    """
    end = count
    while end > 0:
        start = max(0, end - size)
        yield start, end
        if start == 0:
            return
        end -= step
