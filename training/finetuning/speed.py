"""How fast this machine searches, trains and scores: what a plan's estimates are made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Today:
    """The pipeline that serves and has stages: what the trained model is compared with."""

    before_s: float
    """Of a search, up to its last stage."""
    pairs_per_s: float
    """Scored by its last stage."""
    depth: int
    """How many hits its last stage scores as it is set."""
    candidates: int
    """How many come to it."""
    tunable: bool = True
    """Whether its last stage can be re-tuned."""

    def search_s(self, depth: int) -> float:
        """Estimate the seconds of a search in which the last stage scores so many hits."""
        return self.before_s + min(depth, self.candidates) / self.pairs_per_s


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured on this machine."""

    searches_per_s: float
    pairs_per_s: float
    """Trained."""
    today: Today | None = None
    """None where searches have the first stage alone."""
