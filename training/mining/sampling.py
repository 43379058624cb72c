"""In which order hits are tried, until there are as many negatives as wanted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, zip_longest
from typing import Literal, TypeAlias, get_args

from retrieve_rerank.errors import InputError

Sampling: TypeAlias = Literal["random", "top", "stratified"]
"""`top` takes the first, the hardest; `random` any; `stratified` one from each of as many equal
parts of the ranking, so that hard and easy ones are there, and goes round again for parts of which
none was admitted."""


def check_sampling(how: str) -> None:
    """Raise InputError for a sampling that there is none of."""
    if how not in get_args(Sampling):
        raise InputError(f"unknown sampling {how!r}; known: {', '.join(get_args(Sampling))}")


def order_of_trial(hits: int, count: int, *, how: Sampling, seed: int, query: str) -> Iterator[int]:
    """Yield the places 0 … hits - 1, each once, in the order in which to try them for `count`.

    The same for the same seed and query whatever the other queries are, so that a run that was
    broken off goes on as if it had not been. As they are tried one by one, what costs a model's
    time is done for few more than are needed.
    """
    check_sampling(how)
    if how == "top":
        yield from range(hits)
        return
    chooser = random.Random(f"{seed} {query}")  # a text seeds alike in every process
    if how == "random":
        yield from chooser.sample(range(hits), hits)
        return
    edges = [hits * part // count for part in range(count + 1)]
    parts = [chooser.sample(range(first, last), last - first) for first, last in pairwise(edges)]
    for round_ in zip_longest(*parts):
        yield from (place for place in round_ if place is not None)
