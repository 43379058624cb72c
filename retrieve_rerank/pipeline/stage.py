"""A reranker's place in the pipeline, and where the hits go that it has scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from retrieve_rerank.base import Reranker
from retrieve_rerank.errors import InputError
from retrieve_rerank.fusion import interpolate
from retrieve_rerank.types import Hit, append_unscored, keep_places


@dataclass(frozen=True, slots=True)
class Stage:
    """A reranker with its place in the pipeline."""

    reranker: Reranker
    depth: int | None = None
    """How many of the incoming hits it scores, the rest keeping their order below; None is all."""
    weight: float | None = None
    """Share of its scores in the new order, the rest going to the incoming scores, both
    standardised within the query; 1 orders by its scores alone, None takes the reranker's own."""
    min_probability: float | None = None
    """Hits less likely to be relevant are dropped, and with them those that it did not score;
    for rerankers with a calibration."""

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth < 1:
            raise InputError(f"depth must be at least 1; got {self.depth}")
        if not 0.0 <= self.share <= 1.0:
            raise InputError(f"weight must lie between 0 and 1; got {self.share}")
        if self.min_probability is None:
            return
        if not 0.0 <= self.min_probability <= 1.0:
            raise InputError(
                f"min_probability must lie between 0 and 1; got {self.min_probability}"
            )
        if self.reranker.probabilities([]) is None:
            raise InputError(
                f"min_probability needs a calibration, and {self.reranker.name} has none; "
                "rr calibrate makes one"
            )

    @property
    def share(self) -> float:
        """The weight in force."""
        return self.reranker.default_weight if self.weight is None else self.weight

    def own_scores(self, placed: Sequence[Hit]) -> list[float]:
        """Return what the reranker itself gave these hits, before they were mixed."""
        name = self.reranker.name
        return [hit.sources[name].score if self.share < 1.0 else hit.score for hit in placed]


def place(stage: Stage, scored: Sequence[Hit], hits: Sequence[Hit]) -> list[Hit]:
    """Put what a stage scored above what it did not, or drop what it means to be dropped."""
    mixed = scored
    if stage.share < 1.0 and scored:
        mixed = interpolate(scored, name=stage.reranker.name, weight=stage.share)
    if stage.min_probability is not None:
        probabilities = stage.reranker.probabilities(stage.own_scores(mixed)) or ()
        judged = zip(mixed, probabilities, strict=True)
        likely = (hit for hit, probability in judged if probability >= stage.min_probability)
        return append_unscored([], likely)
    if stage.reranker.selective:
        rest = hits[len(hits) if stage.depth is None else stage.depth :]
        return append_unscored(mixed, stage.reranker.below(mixed, rest))
    if stage.reranker.keeps_places:
        mixed = keep_places(mixed, hits[: stage.depth])
    # Counted, as two hits may have one id: those that were scored are the first.
    left = Counter(hit.document.id for hit in mixed)
    unscored = []
    for hit in hits:
        if left[hit.document.id]:
            left[hit.document.id] -= 1
        else:
            unscored.append(hit)
    return append_unscored(mixed, unscored)
