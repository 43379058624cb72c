"""Dividing queries into train, dev, calibration and test, so that none is measured that was learnt.

A query's split is told by a hash of it, so that a test query stays one when data are added.
Duplicates share a split: queries that are equal when normalised, or similar and with a relevant
document in common. Queries of one template about different documents are not duplicates.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.normalising import digest, normalised
from retrieve_rerank.training.together import Together

SPLITS = ("test", "calibration", "dev", "train")
"""From the most held out; the hash fills them in this order, so that other shares of dev and train
leave test as it is."""

SHARES = MappingProxyType({"test": 0.1, "calibration": 0.1, "dev": 0.1, "train": 0.7})

OTHER_NAMES = MappingProxyType({"validation": "dev", "valid": "dev", "val": "dev"})

SIMILAR = 0.8
"""Share of the trigrams of either of two queries that both have (Jaccard), from which they are
similar: a word more or another ending, not another question."""


@dataclass(frozen=True, slots=True)
class Splits:
    """What became of each query."""

    of: Mapping[str, str]
    """Query -> split."""
    left_out: Mapping[str, str]
    """Query that duplicates one of a split that is given and more held out -> that split."""

    def queries(self, split: str) -> list[str]:
        """List the queries of a split."""
        return [query for query, its in self.of.items() if its == split]


def split_queries(
    queries: Mapping[str, str],
    relevant: Mapping[str, Collection[str]],
    *,
    given: Mapping[str, str] = MappingProxyType({}),
    shares: Mapping[str, float] = SHARES,
) -> Splits:
    """Divide queries, given by id -> text and id -> the documents relevant to them.

    `given` are the splits that the data bring, for some queries or all: dev, test and calibration
    stay what they are, and what they lack is cut from train by the hash. A query that duplicates
    one of a given, more held out split is left out. `shares` need not sum to 1. Raises InputError
    for a split of another name, and ConfigError for shares of no use.
    """
    brought = {query: OTHER_NAMES.get(split, split) for query, split in given.items()}
    for split in (*brought.values(), *shares):
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}; expected {', '.join(SPLITS)}")
    if not all(0 <= share < math.inf for share in shares.values()) or not shares.get("train"):
        raise ConfigError(f"expected shares of 0 or more, some of them train; got {dict(shares)}")
    fixed = {query: split for query, split in brought.items() if split != "train"}
    free = {split: shares.get(split, 0.0) for split in SPLITS if split not in fixed.values()}
    of: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for alike in duplicates(queries, relevant):
        held_out = min(
            (fixed[query] for query in alike if query in fixed), key=SPLITS.index, default=None
        )
        hashed = (split_of(queries[query], free) for query in alike)
        # The most held out: one more duplicate never takes a query out of test.
        drawn = held_out or min(hashed, key=SPLITS.index)
        for query in alike:
            if held_out is not None and fixed.get(query) != held_out:
                left_out[query] = held_out
            else:
                of[query] = drawn
    return Splits({query: of[query] for query in queries if query in of}, left_out)


def split_groups(
    groups: Iterable[Group],
    *,
    given: Mapping[str, str] = MappingProxyType({}),
    shares: Mapping[str, float] = SHARES,
) -> Splits:
    """Divide what is `asked` in groups as `split_queries` does; by user, where one is known."""
    texts: dict[str, str] = {}
    relevant: defaultdict[str, set[str]] = defaultdict(set)
    for group in groups:
        texts[group.asked] = group.user or group.query
        if not group.user:
            relevant[group.asked] |= {str(digest(text.text)) for text in group.positives}
    return split_queries(texts, relevant, given=given, shares=shares)


def split_of(query: str, shares: Mapping[str, float]) -> str:
    """Draw a split by a hash of the query, or of whatever else is to stay where it is."""
    point = digest(query) / 2**64 * math.fsum(shares.values())
    for split, share in shares.items():
        point -= share
        if point < 0:
            return split
    return "train"  # by rounding


def duplicates(
    queries: Mapping[str, str],
    relevant: Mapping[str, Collection[str]],
    *,
    by_document: bool = False,
) -> list[list[str]]:
    """Divide queries into lists of duplicates, most of them of one.

    `by_document` takes all queries of one document for duplicates, as where they were made from it.
    """
    together = Together(queries)
    same: dict[str, str] = {}
    about: defaultdict[str, list[str]] = defaultdict(list)
    for query, text in queries.items():
        together.join(query, same.setdefault(normalised(text), query))
        for document in relevant.get(query, ()):
            about[document].append(query)
    trigrams = {query: trigrams_of(text) for query, text in queries.items()}
    for of_one_document in about.values():
        alike = pairwise(of_one_document) if by_document else similar(of_one_document, trigrams)
        for one, other in alike:
            together.join(one, other)
    return together.sets()


def trigrams_of(text: str) -> frozenset[str]:
    """Return the character trigrams of a text as normalised, spaces at the ends among them."""
    padded = f"  {normalised(text)} "
    return frozenset(padded[start : start + 3] for start in range(len(padded) - 2))


def similar(
    queries: Sequence[str],
    trigrams: Mapping[str, frozenset[str]],
    *,
    at_least: float = SIMILAR,
) -> Iterator[tuple[str, str]]:
    """Find the similar pairs, the later one first, comparing only those that share one of their
    rarest trigrams.

    Two sets with a Jaccard of `at_least` cannot do without (prefix filter: Chaudhuri et al., A
    Primitive Operator for Similarity Joins in Data Cleaning, ICDE 2006).
    """
    frequency = Counter(gram for query in queries for gram in trigrams[query])
    with_gram: defaultdict[str, list[str]] = defaultdict(list)
    for query in queries:
        own = trigrams[query]
        rarest = sorted(own, key=lambda gram: (frequency[gram], gram))
        prefix = rarest[: len(own) - math.ceil(at_least * len(own)) + 1]
        for other in dict.fromkeys(other for gram in prefix for other in with_gram[gram]):
            both = len(own & trigrams[other])
            if both >= at_least * (len(own) + len(trigrams[other]) - both):
                yield query, other
        for gram in prefix:
            with_gram[gram].append(query)
