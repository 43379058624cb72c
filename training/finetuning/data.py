"""The judged queries that a model is trained on and measured by, divided so that none is both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import USER, read_folder, read_query_field, splits_of
from retrieve_rerank.evaluation.judges import folder_judges
from retrieve_rerank.training.folds import FEWEST_TEST_QUERIES
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.provenance import data_hash
from retrieve_rerank.training.queries import Cuts, read_cuts
from retrieve_rerank.training.splits import OTHER_NAMES, SPLITS, split_queries
from retrieve_rerank.types import Qrels


@dataclass(frozen=True, slots=True)
class SplitJudgments:
    """Judged queries by split."""

    queries: Mapping[str, str]
    train: Qrels
    dev: Qrels
    calibration: Qrels
    test: Qrels
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why queries are in no split -> how many."""
    given: tuple[str, ...] = ()
    """Splits that the data brought; the others were drawn by hash."""
    lone: str = ""
    """Name of the only split that the data brought, whose queries were divided."""
    cuts: Cuts = field(default_factory=Cuts, repr=False)
    """What is cut from the documents that queries were made from; nothing where people judged."""

    folded: bool = False
    """Whether too few queries can be held out, so that those to test on are trained on too, each by
    models that do not judge it."""

    groups: tuple[Group, ...] | None = field(default=None, repr=False)
    """What to train on, where that is there already; None where it is mined for `train`."""
    whole: bool = False
    """Whether the texts of `groups` are whole, so that no template has laid them out."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Query -> what is known of who asks; what is held out is of users who are not learnt from."""
    segments: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Query -> the segment that it is of, each of which is a protected slice."""
    judges: Mapping[str, int] = field(default_factory=dict)
    """Language models that gave judgments, and how many; empty where people gave all."""
    replayed: tuple[Group, ...] = field(default=(), repr=False)
    """General data that are trained on beside."""

    @property
    def generated(self) -> bool:
        """Whether the queries were made from the index, and nobody has judged them."""
        return self.cuts.generated or bool(self.cuts.of)

    @property
    def held_out(self) -> Qrels:
        """What no group may duplicate; of the queries that folds test on, each fold sees to it."""
        return {**self.dev, **self.calibration, **({} if self.folded else self.test)}

    def folded_if_few(self) -> SplitJudgments:
        """Have all queries but those of dev and calibration train and test, where test has few."""
        if self.folded or len(self.test) >= FEWEST_TEST_QUERIES:
            return self
        both = {**self.train, **self.test}
        # A document that is read with the query's own span in it judges nobody.
        cut = {query: grades for query, grades in both.items() if query not in self.cuts.whole}
        return replace(self, train=both, test=cut, folded=True)

    def at_most(self, **most: int | None) -> SplitJudgments:
        """Keep at most so many queries of each split, told by a hash."""
        fewer: dict[str, Any] = {
            split: by_hash(getattr(self, split), self.queries, count)
            for split, count in most.items()
        }
        return replace(self, **fewer)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each split's queries and judgments."""
        digests = {
            split: data_hash(
                {
                    query: [self.queries[query], grades, *filter(None, [self.users.get(query)])]
                    for query, grades in qrels.items()
                }
            )
            for split in reversed(SPLITS)
            for qrels in [getattr(self, split)]
        }
        if self.groups is not None:
            digests["train"] = data_hash([repr(group) for group in self.groups])
        if self.replayed:
            digests["replayed"] = data_hash([repr(group) for group in self.replayed])
        return digests

    def sizes(self) -> dict[str, int]:
        """Return how many queries each split has, or groups of them."""
        sizes = {split: len(getattr(self, split)) for split in reversed(SPLITS)}
        if self.groups is not None:
            sizes["train"] = len(self.groups)
        return {**sizes, "replayed": len(self.replayed)} if self.replayed else sizes


def read_judged_folder(folder: Path) -> SplitJudgments:
    """Read a BEIR folder: the splits that it has stay what they are, others are drawn by hash.

    A lone file says which queries are judged, not which of them to hold out: it is divided. Raises
    InputError for what cannot be read, and where two splits judge one query.
    """
    names = splits_of(folder)
    if not names:
        raise InputError(
            f"{folder} has no judgments; expected a BEIR folder with queries.jsonl and"
            " qrels/train.tsv, qrels/test.tsv or the like"
        )
    known = [name for name in names if OTHER_NAMES.get(name, name) in SPLITS]
    if len(names) > 1 and not known:
        raise InputError(
            f"{folder} has the splits {', '.join(names)}; expected {', '.join(reversed(SPLITS))}"
        )
    qrels: Qrels = {}
    given: dict[str, str] = {}
    for name in known or names:
        queries, judged = read_folder(folder, split=name)
        if twice := qrels.keys() & judged.keys():
            raise InputError(
                f"{folder}: query {min(twice)!r} is judged in {given[min(twice)]!r} and in"
                f" {name!r}; a query belongs to one split"
            )
        qrels |= judged
        given |= dict.fromkeys(judged, name)
    users = read_query_field(folder, USER)
    lone = "" if len(known) > 1 else (known or names)[0]
    judgments = divide(queries, qrels, given={} if lone else given, users=users)
    return replace(
        judgments,
        lone=lone,
        cuts=read_cuts(folder),
        judges=folder_judges(folder, splits=known or names),
    )


def divide(
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    given: Mapping[str, str],
    users: Mapping[str, str] = MappingProxyType({}),
) -> SplitJudgments:
    """Divide judged queries as `split_queries` does; those without a relevant document are out.

    Queries of `users` are divided by user, whatever they ask. Raises InputError where train, dev or
    test would be empty.
    """
    textless = [query for query in qrels if query not in queries]
    relevant = {
        query: [id_ for id_, grade in grades.items() if grade > 0]
        for query, grades in qrels.items()
        if query in queries
    }
    pointless = [query for query, ids in relevant.items() if not ids]
    usable = {query: ids for query, ids in relevant.items() if ids}
    splits = split_queries(
        {query: users.get(query, queries[query]) for query in usable},
        {query: () if query in users else ids for query, ids in usable.items()},
        given={query: split for query, split in given.items() if query in usable},
    )
    by_split: dict[str, Any] = {
        split: {query: qrels[query] for query in splits.queries(split)} for split in SPLITS
    }
    counts = {
        "without a text": len(textless),
        "without a relevant document": len(pointless),
        "duplicates of a query that is held out, or of its user": len(splits.left_out),
    }
    for split in ("train", "dev", "test"):
        if not by_split[split]:
            raise InputError(
                f"of {len(qrels):,} judged queries none is left for {split}"
                f" ({', '.join(f'{n:,} {why}' for why, n in counts.items() if n) or 'too few'});"
                f" judge more queries, on more documents, or bring qrels/{split}.tsv"
            )
    return SplitJudgments(
        queries=queries,
        users=users,
        **by_split,
        left_out={why: count for why, count in counts.items() if count},
        given=tuple(dict.fromkeys(OTHER_NAMES.get(split, split) for split in given.values())),
    )


def by_hash(qrels: Qrels, queries: Mapping[str, str], most: int | None) -> Qrels:
    """Take at most so many queries, told by a hash of their texts: the same when data are added."""
    if most is None or len(qrels) <= most:
        return qrels
    chosen = sorted(qrels, key=lambda query: (digest("chosen", queries[query]), query))[:most]
    kept = set(chosen)
    return {query: grades for query, grades in qrels.items() if query in kept}
