"""A dev measure without an index: how well the texts of held-out groups are ordered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.training.groups import Group, GroupText


def group_ndcg(groups: Sequence[Group], *, k: int = 10) -> Callable[[Scorer], float]:
    """Make an evaluator: the mean nDCG@k of the groups' own texts, gains the labels as in TREC.

    Labels below 0 gain nothing, and texts without a label are left out. Raises InputError where no
    group has a positive and another text.
    """
    labelled = [
        replace(group, texts=tuple(text for text in group.texts if text.label is not None))
        for group in groups
    ]
    judged = [group for group in labelled if group.positives and group.tells_apart]
    if not judged:
        raise InputError("no group to measure on: expected some with a positive and a negative")

    def measure(scorer: Scorer) -> float:
        return sum(_ndcg(group, scorer, k) for group in judged) / len(judged)

    return measure


def _ndcg(group: Group, scorer: Scorer, k: int) -> float:
    query = scorer.for_user(group.query, group.user)
    scores = scorer.score(query, [text.text for text in group.texts])
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    gains = [_gain(text) for text in group.texts]
    return _dcg([gains[place] for place in order[:k]]) / _dcg(sorted(gains, reverse=True)[:k])


def _gain(text: GroupText) -> float:
    return max(text.label or 0.0, 0.0)


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
