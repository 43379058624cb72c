"""Judging a procedure over k folds, where there are too few test queries to judge one model.

Each query is judged by a model that was trained without it. What is judged is the procedure; the
model that is promoted is trained on all queries, for the median of the folds' steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.splits import duplicates

FEWEST_TEST_QUERIES = 50
"""With fewer held-out queries folds judge instead: an interval of so few is wider than most
gains."""

FOLDS = 5


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one training told of the queries that it was not given."""

    measures: Mapping[str, float]
    """Held-out query -> what is measured, such as its nDCG@10."""
    steps: int
    """Of the best checkpoint."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What all folds told."""

    measures: dict[str, float]
    """Query -> measure, in the order of the queries; each from the fold that held it out."""
    steps: int
    """The folds' median, for training on all queries."""
    folds: tuple[tuple[str, ...], ...]
    """The held-out queries of each fold."""


def fold_queries(
    queries: Mapping[str, str],
    relevant: Mapping[str, Collection[str]],
    *,
    k: int = FOLDS,
) -> list[list[str]]:
    """Divide queries, by id -> text and id -> relevant documents, into k folds of like size.

    Duplicates, as `split_queries` has them, share a fold. A hash of the text draws it, so that a
    query stays in its fold when others are added, but for the few that moving on keeps folds from
    being empty. Raises InputError where there are fewer queries apart than folds.
    """
    if k < 2:
        raise InputError(f"expected at least 2 folds; got {k}")
    together = duplicates(queries, relevant)
    if len(together) < k:
        raise InputError(
            f"{len(queries)} queries, {len(together)} of them no duplicates, cannot be divided into"
            f" {k} folds; judge more queries"
        )
    drawn = [(min(digest("fold", queries[query]) for query in alike), alike) for alike in together]
    folds: list[list[list[str]]] = [[] for _ in range(k)]
    for number, alike in sorted(drawn):
        folds[number % k].append(alike)
    for fold in folds:
        if not fold:
            fold.append(max(folds, key=len).pop())
    return [[query for alike in fold for query in alike] for fold in folds]


def judge_by_folds(
    procedure: Callable[[Sequence[str], Sequence[str]], FoldResult],
    queries: Mapping[str, str],
    relevant: Mapping[str, Collection[str]],
    *,
    k: int = FOLDS,
) -> Folded:
    """Run a procedure k times, each on the queries of all folds but one, which it measures.

    `procedure(training, held_out)` takes ids of queries, trains, and measures the held-out ones.
    Raises InputError where it leaves one of them out or measures another, or a measure is NaN.
    """
    folds = fold_queries(queries, relevant, k=k)
    found: dict[str, float] = {}
    steps = []
    for held_out in folds:
        apart = set(held_out)
        result = procedure([query for query in queries if query not in apart], held_out)
        if result.measures.keys() != apart or any(map(math.isnan, result.measures.values())):
            raise InputError(
                f"expected a measure of each of the {len(apart)} held-out queries and of no other;"
                f" got {len(result.measures)}, such as {dict(list(result.measures.items())[:3])}"
            )
        found |= result.measures
        steps.append(result.steps)
    return Folded(
        {query: found[query] for query in queries}, median_low(steps), tuple(map(tuple, folds))
    )
