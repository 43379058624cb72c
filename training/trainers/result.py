"""What training tells while it runs, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.registry import reranker_class


def scorer_class(reranker: str) -> Any:
    """Return the class of a reranker; raise ConfigError for one that only orders."""
    kind = reranker_class(reranker)
    if not issubclass(kind, Scorer):
        raise ConfigError(f"{reranker} orders texts and scores none alone")
    return kind


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the learning curve."""

    step: int
    loss: float | None
    """Mean since the point before; None before the first step."""
    measure: float | None = None
    """The dev measure, where it was looked at."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What `on_progress` hears after each step."""

    step: int
    steps: int
    loss: float
    measure: float | None
    """The latest dev measure."""
    pairs_per_s: float
    seconds_left: float
    """Of training; looks at the dev measure come on top."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model and how it came about."""

    model: Path
    """A folder that `reranker` loads, a cross-encoder's sentence-transformers too."""
    steps: int
    """How many were taken, of however many were planned."""
    curve: Sequence[CurvePoint]
    pairs_per_s: float
    """Without the looks at the dev measure."""
    loss: str
    description: str
    """Where and how it was computed."""
    reranker: str = "cross-encoder"
    """The name of the reranker that runs it."""
    stopped: str | None = None
    """Why it ended before its time, and what to change; None where it did not."""
    failed: bool = False
    """Whether a guard stopped it: the model is that of the best checkpoint, else of the last one
    before it, else what training started from."""
    warnings: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why groups or texts were left out -> how many."""

    @property
    def measure(self) -> float | None:
        """The dev measure of the model, that of its best step; None where nobody looked then."""
        return next((p.measure for p in self.curve if p.step == self.best_step), None)

    @property
    def best_step(self) -> int:
        """The step after which the dev measure was best; the last one where nobody looked."""
        looks = [p for p in self.curve if p.measure is not None and p.step > 0]
        return max(looks, key=lambda p: p.measure or 0.0).step if looks else self.steps

    def scorer(self, *, device: str = "auto") -> Scorer:
        """Load the model as what runs it; raise ConfigError for one that only orders."""
        loaded: Scorer = scorer_class(self.reranker)(str(self.model), device=device)
        return loaded

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {**asdict(self), "model": str(self.model)}

    def save(self, file: Path) -> None:
        """Write it down, whole or not at all; raise ModelError where it cannot be."""
        write_json(file, {**self.as_dict(), "model": self.model.name})

    @classmethod
    def load(cls, file: Path) -> Trained:
        """Read what `save` wrote."""
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        curve = [CurvePoint(**point) for point in found.pop("curve")]
        return cls(**{**found, "model": file.parent / found["model"], "curve": curve})
