"""Groups to forward passes: as many as the token budget allows, a group never torn apart."""

from __future__ import annotations

from collections.abc import Sequence

from retrieve_rerank.models.runtimes.batching import Batching


def passes(lengths: Sequence[Sequence[int]], *, budget: int, padded: bool) -> list[list[int]]:
    """Return numbers of groups that go together; `lengths` are tokens of each group's pairs.

    Padded, groups of like length go together, and the tokens that fill them up count. A group
    that alone is beyond the budget is alone.
    """
    batching = Batching(budget, overhead=0, padded=padded)
    order = list(range(len(lengths)))
    if padded:
        order.sort(key=lambda group: -max(lengths[group]))
    found: list[list[int]] = []
    for group in order:
        joined = [*found[-1], group] if found else [group]
        if found and batching.tokens([n for each in joined for n in lengths[each]]) <= budget:
            found[-1] = joined
        else:
            found.append([group])
    return found


def cut(planned: list[list[int]], count: int) -> list[list[int]]:
    """Cut passes in two, those of most groups first, until there are `count` or no more to cut."""
    found = list(planned)
    while len(found) < count:
        longest = max(range(len(found)), key=lambda number: len(found[number]))
        groups = found[longest]
        if len(groups) == 1:
            break
        half = len(groups) // 2
        found[longest : longest + 1] = [groups[:half], groups[half:]]
    return found
