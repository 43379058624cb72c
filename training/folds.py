"""Dividing queries into k folds, where there are too few test queries to judge one model.

Each query is then judged by a model that was trained without it. What is judged is the procedure;
the model that is promoted is trained on all queries, for the median of the folds' steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.splits import duplicates

FEWEST_TEST_QUERIES = 50
"""With fewer held-out queries folds judge instead: an interval of so few is wider than most
gains."""

FOLDS = 5


def fold_queries(
    queries: Mapping[str, str],
    relevant: Mapping[str, Collection[str]],
    *,
    k: int = FOLDS,
    by_document: bool = False,
) -> list[list[str]]:
    """Divide queries, by id -> text and id -> relevant documents, into k folds of like size.

    Duplicates, as `split_queries` has them, share a fold; with `by_document` all queries of a
    document do. A hash of the text draws it, so that a query stays in its fold when others are
    added, but for the few that moving on keeps folds from being empty. Raises InputError where
    there are fewer queries apart than folds.
    """
    if k < 2:
        raise InputError(f"expected at least 2 folds; got {k}")
    together = duplicates(queries, relevant, by_document=by_document)
    if len(together) < k:
        raise InputError(
            f"{len(queries)} queries, {len(together)} of them apart, cannot be divided into {k}"
            " folds; judge more queries"
        )
    drawn = [(min(digest("fold", queries[query]) for query in alike), alike) for alike in together]
    folds: list[list[list[str]]] = [[] for _ in range(k)]
    for number, alike in sorted(drawn):
        folds[number % k].append(alike)
    for fold in folds:
        if not fold:
            fold.append(max(folds, key=len).pop())
    return [[query for alike in fold for query in alike] for fold in folds]
