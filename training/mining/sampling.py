"""How many of the admitted hits become negatives, and which."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypeVar, get_args

from retrieve_rerank.errors import InputError

T = TypeVar("T")

Sampling: TypeAlias = Literal["random", "top", "stratified"]
"""`top` takes the first, the hardest; `random` any; `stratified` one from each of as many equal
parts of the ranking, so that hard and easy ones are there."""


def sample(admitted: Sequence[T], count: int, *, how: Sampling, seed: int, query: str) -> list[T]:
    """Choose at most `count`, in their order: the same for the same seed and query.

    The choice for a query does not depend on the other queries, so that a run that was broken off
    goes on as if it had not been. Raises InputError for an unknown `how`.
    """
    if how not in get_args(Sampling):
        raise InputError(f"unknown sampling {how!r}; known: {', '.join(get_args(Sampling))}")
    if how == "top" or len(admitted) <= count:
        return list(admitted[:count])
    chooser = random.Random(f"{seed} {query}")  # a text seeds alike in every process
    if how == "random":
        places = sorted(chooser.sample(range(len(admitted)), count))
    else:
        edges = [len(admitted) * part // count for part in range(count + 1)]
        places = [chooser.randrange(edges[part], edges[part + 1]) for part in range(count)]
    return [admitted[place] for place in places]
