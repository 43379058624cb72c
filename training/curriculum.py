"""From easy negatives to hard ones, or from few to many, as training goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.groups import Group, GroupText

Curriculum: TypeAlias = Literal["harder", "wider"]
"""`harder` gives each epoch as many negatives, in the first those of the lowest ranks and in the
last those of the highest; `wider` begins with the negatives of the highest ranks and adds lower
ones from epoch to epoch."""


def for_epoch(
    groups: Iterable[Group],
    *,
    epoch: int,
    epochs: int,
    negatives: int,
    how: Curriculum = "harder",
) -> Iterator[Group]:
    """Yield groups with the negatives of one epoch, counted from 0, at most so many of each.

    For groups mined with several times as many. What has no rank counts as the easiest; all that is
    no negative stays. Raises InputError for an epoch that there is none of.
    """
    if how not in get_args(Curriculum):
        raise InputError(f"unknown curriculum {how!r}; known: {', '.join(get_args(Curriculum))}")
    if not 0 <= epoch < epochs or negatives < 1:
        raise InputError(
            f"expected an epoch from 0 to {epochs - 1} and at least one negative; got {epoch} and"
            f" {negatives}"
        )
    for group in groups:
        hardest_first = sorted(group.negatives, key=lambda text: text.rank or float("inf"))
        if how == "harder":
            slack = max(0, len(hardest_first) - negatives)
            # From the far end in the first epoch to the front in the last.
            start = slack - round(slack * epoch / max(epochs - 1, 1))
            kept = hardest_first[start : start + negatives]
        else:
            kept = hardest_first[: max(1, round(negatives * (epoch + 1) / epochs))]
        yield replace(group, texts=tuple(_without(group, hardest_first, kept)))


def _without(
    group: Group, negatives: list[GroupText], kept: list[GroupText]
) -> Iterator[GroupText]:
    """Yield the group's texts in their order, of the negatives the kept ones alone."""
    out = {id(text) for text in negatives} - {id(text) for text in kept}
    yield from (text for text in group.texts if id(text) not in out)
