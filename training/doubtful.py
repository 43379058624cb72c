"""Training positives that are probably wrong: two models take each for one of the negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from retrieve_rerank.base import Scorer
from retrieve_rerank.training.groups import Group, GroupText

BESIDE = 7
"""Negatives that a positive is held against at most: those of a training step's group."""

LISTED = 100
"""How many of them a report lists; all are in the run's folder."""

TEACHER = "the veto or teacher"
"""What the model is called whose scores are in the groups."""

FEWEST = 3
"""Negatives without which nothing is said: one may itself be a relevant text that nobody judged."""


@dataclass(frozen=True, slots=True)
class DoubtfulPositive:
    """A text that is labelled relevant, and that neither model tells from what is not."""

    query: str
    query_id: str | None
    text: str
    id: str | None
    label: float
    trained: float
    """The trained model's score."""
    other: float
    """The other model's, on its own scale."""
    above: float
    """Share of the query's negatives that score more, the mean of both models."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """What was looked at, and what was found."""

    positives: int
    """Training positives that were looked at."""
    found: Sequence[DoubtfulPositive]
    """The likeliest to be wrong first."""
    count: int
    """How many were found, where not all are listed."""
    other: str = ""
    """Name of the model beside the trained one."""
    note: str = ""
    """What was not looked at, and why; empty where all was."""

    def worst(self, most: int) -> Doubtful:
        """Return it with the likeliest ones alone."""
        return replace(self, found=self.found[:most])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Doubtful:
        """Read what `to_dict` wrote."""
        return cls(**{**values, "found": [DoubtfulPositive(**each) for each in values["found"]]})


def find_doubtful(
    groups: Iterable[Group],
    trained: Scorer,
    other: Scorer | None,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Doubtful:
    """Find the positives that both models score no higher than their query's median negative.

    A text that scores like a typical text labelled otherwise is probably labelled wrong: confident
    learning's threshold (Northcutt et al., https://arxiv.org/abs/1911.00068, §3.1), taken within
    a query, as losses over lists leave open how high the scores of one query are beside another's.
    It is the median since among negatives some are relevant and score high. A single model is
    wrong too often, all the more as the trained one may have learnt a wrong positive by heart;
    the other scores only what the trained one doubts. None is the one that gave the groups their
    teacher scores, such as a veto. Queries with fewer than FEWEST negatives are
    not looked at. `on_progress` hears of each group. Raises as the scorers do.
    """
    looked_at = 0
    found: list[DoubtfulPositive] = []
    for group in groups:
        if group.positives and len(group.negatives) >= FEWEST:
            looked_at += len(group.positives)
            found += _of(group, trained, other)
        if on_progress is not None:
            on_progress(1)
    worst_first = sorted(found, key=lambda each: -each.above)
    return Doubtful(looked_at, worst_first, len(found), other.name if other else TEACHER)


def _of(group: Group, trained: Scorer, other: Scorer | None) -> Iterator[DoubtfulPositive]:
    every = -(-len(group.negatives) // BESIDE)
    negatives = group.negatives[::every]  # of all ranks
    ours = _held(group.positives, trained, group, negatives)
    doubted = [(text, its) for text, its in zip(group.positives, ours, strict=True) if its.low]
    if not doubted:
        return
    theirs = _held([text for text, _ in doubted], other, group, negatives)
    for (text, its), too in zip(doubted, theirs, strict=True):
        if too.low:
            yield DoubtfulPositive(
                group.query,
                group.query_id,
                text.text,
                text.id,
                text.label or 0.0,
                its.score,
                too.score,
                (its.above + too.above) / 2,
            )


class _Held(NamedTuple):
    """A positive, held against the negatives."""

    score: float
    above: float
    """Share of the negatives that score more, of equal ones half."""

    @property
    def low(self) -> bool:
        return self.above >= 0.5


def _held(
    positives: Sequence[GroupText],
    model: Scorer | None,
    group: Group,
    negatives: Sequence[GroupText],
) -> list[_Held]:
    texts = (*positives, *negatives)
    if model is None:
        scores = [each.teacher_score or 0.0 for each in texts]
    else:
        asked = model.for_user(group.query, group.user)
        scores = model.score(asked, [each.text for each in texts])
    beside = scores[len(positives) :]
    above = [
        sum((each > score) + 0.5 * (each == score) for each in beside) / len(beside)
        for score in scores[: len(positives)]
    ]
    return list(map(_Held, scores, above))
