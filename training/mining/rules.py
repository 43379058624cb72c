"""Which of a query's hits may be its negatives, and why the others may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from retrieve_rerank.errors import InputError

Reason: TypeAlias = Literal["relevant", "near-identical", "same", "rank", "score", "margin", "veto"]
"""Why a hit is no negative: it is judged relevant; its text is nearly a positive's; it shares a
field with a positive; it stands outside the ranks, or its score outside the scores, that were
asked for; its score is too close to the positive's; a cross-encoder takes it for relevant."""

RELATIVE_MARGIN = 0.95
"""TopK-PercPos's share of the positive's score, Moreira et al., https://arxiv.org/abs/2407.15831,
table 3: false negatives lie above it."""


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a negative's score stays below that of the lowest positive, the anchor.

    For cosines and a cross-encoder's scores alone: a share of a BM25 score or of a fused one
    means nothing.
    """

    relative: float | None = None
    """Highest share of the anchor that a negative may score; an anchor of 0 or below, of which no
    share can be taken, takes the absolute margin."""
    absolute: float = 0.0
    """How much less than the anchor a negative scores at least, on the scores' own scale."""
    where_known: bool = False
    """Whether it is kept only where there are cosines, and the positive has one; else a search
    without any is refused, and a query whose positive was not returned has no negatives."""

    def __post_init__(self) -> None:
        """Raise InputError for a share outside 0 … 1, and for an absolute margin below 0."""
        if self.relative is not None and not 0 < self.relative <= 1:
            raise InputError(
                f"a relative margin is a share of the positive's score, above 0 and at most 1;"
                f" got {self.relative}"
            )
        if not self.absolute >= 0:
            raise InputError(f"an absolute margin must be 0 or more; got {self.absolute}")

    def ceiling(self, anchor: float) -> float:
        """Return the highest score that a negative may have."""
        if self.relative is not None and anchor > 0:
            return anchor * self.relative
        return anchor - self.absolute


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a negative besides not being judged relevant."""

    first_rank: int = 1
    """Ranks above it are left out: false negatives stand there."""
    last_rank: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    """Bounds of the score that margins are taken of, both included."""
    margin: Margin | None = None
    exclude_same: Sequence[str] = ()
    """Fields; a hit with the same value as a positive in any of them is left out."""

    def __post_init__(self) -> None:
        """Raise InputError for bounds that leave nothing."""
        if self.first_rank < 1:
            raise InputError(f"ranks count from 1; got {self.first_rank}")
        if self.last_rank is not None and self.last_rank < self.first_rank:
            raise InputError(
                f"the last rank must not come before the first; got {self.first_rank} …"
                f" {self.last_rank}"
            )
        if None not in (self.min_score, self.max_score) and self.min_score > self.max_score:  # type: ignore[operator]  # neither is None
            raise InputError(
                f"the lowest score must not be above the highest; got {self.min_score} …"
                f" {self.max_score}"
            )

    @property
    def need_scores(self) -> bool:
        """Whether they look at scores, not at ranks alone."""
        return any(bound is not None for bound in (self.min_score, self.max_score, self.margin))

    @property
    def lenient(self) -> bool:
        """Whether nothing but a margin looks at scores, and that only where they are known."""
        bounds = (self.min_score, self.max_score)
        return self.margin is not None and self.margin.where_known and bounds == (None, None)

    def take(self, rank: int) -> bool:
        """Tell whether a rank is among those asked for."""
        return self.first_rank <= rank and (self.last_rank is None or rank <= self.last_rank)

    def against(self, score: float, *, anchor: float | None) -> Reason | None:
        """Tell which rule a score breaks, None where its text may be a negative.

        `anchor` is the lowest positive's; where it is not known, no margin can be kept.
        """
        if self.min_score is not None and score < self.min_score:
            return "score"
        if self.max_score is not None and score > self.max_score:
            return "score"
        if self.margin is None:
            return None
        if anchor is None:
            return None if self.margin.where_known else "margin"
        return "margin" if score > self.margin.ceiling(anchor) else None


DEFAULT_MARGIN = Margin(relative=RELATIVE_MARGIN, where_known=True)
"""Of two thirds and more of hidden positives it makes no negatives: docs/benchmarks/training.md."""

DEFAULT_RULES = Rules(margin=DEFAULT_MARGIN)
