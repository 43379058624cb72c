"""Dividing queries into train, dev, calibration and test, so that none is measured that was learnt.

A query's split is told by a hash of it, so that a test query stays one when data are added.
Duplicates share a split: queries that are equal when normalised, or similar and with a relevant
document in common. Queries of one template about different documents are not duplicates.

What is drawn is as far from train as what the data hold out: where their test queries are about
documents that no training query is about, dev queries that are about those would choose a weight
and a checkpoint by what was learnt by heart (stackfaq: nDCG@10 0.947 on dev, 0.923 on test).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from types import MappingProxyType

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.normalising import digest, normalised
from retrieve_rerank.training.together import Together
from retrieve_rerank.types import Qrels

SPLITS = ("test", "calibration", "dev", "train")
"""From the most held out; the hash fills them in this order, so that other shares of dev and train
leave test as it is."""

SHARES = MappingProxyType({"test": 0.1, "calibration": 0.1, "dev": 0.1, "train": 0.7})

OTHER_NAMES = MappingProxyType({"validation": "dev", "valid": "dev", "val": "dev"})

SIMILAR = 0.8
"""Share of the trigrams of either of two queries that both have (Jaccard), from which they are
similar: a word more or another ending, not another question."""


LARGEST_SET = 0.1
"""Share of the queries from which those about the same documents are too many to be held out."""


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
    stay what they are, and what they lack is cut from train by the hash: by document where the
    given ones share fewer documents with train than queries drawn one by one would. A query that
    duplicates one of a given, more held out split is left out. `shares` need not sum to 1. Raises
    InputError for a split of another name, and ConfigError for shares of no use.
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
    drawn: list[list[str]] = []
    for alike in duplicates(queries, relevant):
        held_out = min(
            (fixed[query] for query in alike if query in fixed), key=SPLITS.index, default=None
        )
        if held_out is None:
            drawn.append(alike)
            continue
        for query in alike:
            if fixed.get(query) == held_out:
                of[query] = held_out
            else:
                left_out[query] = held_out
    if _apart(of, drawn, relevant):
        of |= _draw_by_document(drawn, queries, relevant, free)
    else:
        for alike in drawn:
            # The most held out: one more duplicate never takes a query out of test.
            split = min((split_of(queries[query], free) for query in alike), key=SPLITS.index)
            of |= dict.fromkeys(alike, split)
    return Splits({query: of[query] for query in queries if query in of}, left_out)


def _apart(
    held_out: Collection[str],
    drawn: Sequence[Sequence[str]],
    relevant: Mapping[str, Collection[str]],
) -> bool:
    """Whether queries held out by the data share a document with train less than half as often as
    queries that are drawn from it one by one would.
    """
    about = Counter(
        document
        for alike in drawn
        for document in {document for query in alike for document in relevant.get(query, ())}
    )

    def share(queries: Collection[str], others: int) -> float:
        """How many of them are about a document that so many sets of duplicates are about."""
        shared = (any(about[id_] >= others for id_ in relevant.get(q, ())) for q in queries)
        return sum(shared) / max(1, len(queries))

    return bool(held_out) and share(held_out, 1) < 0.5 * share(list(chain(*drawn)), 2)


def _draw_by_document(
    drawn: Sequence[Sequence[str]],
    queries: Mapping[str, str],
    relevant: Mapping[str, Collection[str]],
    shares: Mapping[str, float],
) -> Iterator[tuple[str, str]]:
    """Draw a split for all queries of one document, and of documents that share a query, at once.

    A set of more than a tenth of the queries is too large to be held out. Where the draw leaves a
    split without any, it gets the set of train that has the lowest hash.
    """
    first = {alike[0]: alike for alike in drawn}
    together = duplicates(
        {query: queries[query] for query in first},
        {
            query: {id_ for each in first[query] for id_ in relevant.get(each, ())}
            for query in first
        },
        by_document=True,
    )
    split: dict[str, str] = {}  # the query of a set's lowest hash -> its split
    members: dict[str, list[str]] = {}
    small: list[str] = []

    def hashed(query: str) -> int:
        return digest("document", queries[query])

    for sets in together:
        its = list(chain(*(first[query] for query in sets)))
        # Any of them would do; the one of the lowest hash stays the same when others are added.
        chosen = min(its, key=hashed)
        members[chosen] = its
        large = len(its) > LARGEST_SET * sum(map(len, drawn))
        split[chosen] = "train" if large else split_of(queries[chosen], shares)
        if not large and split[chosen] == "train":
            small.append(chosen)
    small.sort(key=hashed, reverse=True)
    for name, share in shares.items():
        if share and name not in split.values() and len(small) > 1:
            split[small.pop()] = name
    for chosen, its in members.items():
        yield from ((query, split[chosen]) for query in its)


def split_groups(
    groups: Iterable[Group],
    *,
    given: Mapping[str, str] = MappingProxyType({}),
    shares: Mapping[str, float] = SHARES,
) -> Splits:
    """Divide what is `asked` in groups as `split_queries` does; by user, where one is known."""
    texts, relevant = _of_groups(groups)
    return split_queries(texts, relevant, given=given, shares=shares)


def apart_from(
    groups: Sequence[Group],
    queries: Mapping[str, str],
    held_out: Qrels,
    *,
    users: Mapping[str, str] = MappingProxyType({}),
) -> list[Group]:
    """Leave out groups that duplicate a held-out query, or are of the user of one."""
    texts, relevant = _of_groups(groups)
    names = {query: f"held out\0{query}" for query in held_out}  # as no group's query is
    for query, name in names.items():
        texts[name] = users.get(query, queries[query])
        if query not in users:
            relevant[name] = {id_ for id_, grade in held_out[query].items() if grade > 0}
    held = set(names.values())
    together = duplicates(texts, relevant)
    apart = {asked for alike in together if held.isdisjoint(alike) for asked in alike}
    return [group for group in groups if group.asked in apart]


def _of_groups(groups: Iterable[Group]) -> tuple[dict[str, str], defaultdict[str, set[str]]]:
    """Return of what is asked the text, or the user's, and the relevant documents: by their ids,
    which judgments have too, and by a hash of their texts, as some have no id."""
    texts: dict[str, str] = {}
    relevant: defaultdict[str, set[str]] = defaultdict(set)
    for group in groups:
        texts[group.asked] = group.user or group.query
        if not group.user:
            relevant[group.asked] |= {str(digest(text.text)) for text in group.positives}
            relevant[group.asked] |= {text.id for text in group.positives if text.id is not None}
    return texts, relevant


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
