"""The range of labels that data are on, and its mapping to 0 … 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.formats.fields import UnfitRecordError


@dataclass(frozen=True, slots=True)
class LabelRange:
    """Labels from `low` to `high`; raises ConfigError where high is not above."""

    high: float
    low: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"expected a highest label above the lowest; got {self.high:g} and {self.low:g}"
            )

    def scaled(self, label: float) -> float:
        """Map a label to 0 … 1; raise UnfitRecordError for one outside."""
        if not self.low <= label <= self.high:
            expected = f"expected {self.low:g} to {self.high:g}; got {label:g}"
            raise UnfitRecordError("label out of range", expected)
        return (label - self.low) / (self.high - self.low)
