"""Several losses at once, each with its weight and on its own labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.losses.least import least
from retrieve_rerank.training.losses.terms import Loss


@dataclass(frozen=True, slots=True)
class Part:
    """One loss of a mixture."""

    loss: Loss
    weight: float = 1.0
    on: Literal["labels", "teacher"] = "labels"
    """Whether it learns from the labels or from a teacher's scores."""


class Mixture:
    """Σ weight · mean of the part's terms: L = Σ_p w_p · L_p."""

    def __init__(self, parts: Sequence[Part]) -> None:
        """Raise ConfigError where there is no part, or a weight is not above 0."""
        if not parts:
            raise ConfigError("a mixture needs at least one loss")
        for part in parts:
            if not part.weight > 0:
                raise ConfigError(f"the weight of a loss must be above 0; got {part.weight}")
        self.parts = tuple(parts)

    def counts(self, labels: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Return how many terms each part has, (parts,); labels alone decide it.

        Added up over accumulation steps and ranks, it is what `__call__` divides by.
        """
        targets = [self._target(part, labels, teacher) for part in self.parts]
        zeros = torch.zeros_like(labels)
        return torch.stack(
            [p.loss(zeros, t).counts.sum() for p, t in zip(self.parts, targets, strict=True)]
        )

    def __call__(
        self,
        scores: Tensor,
        labels: Tensor,
        teacher: Tensor | None = None,
        *,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, a scalar; with `counts`, its share of a larger batch's."""
        total = scores.new_zeros((), dtype=torch.float32)
        for i, part in enumerate(self.parts):
            terms = part.loss(scores, self._target(part, labels, teacher))
            total = total + part.weight * terms.mean(None if counts is None else counts[i])
        return total

    def least(self, labels: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Return the loss that the best scores would leave, a scalar."""
        total = labels.new_zeros(())
        for part in self.parts:
            total = total + part.weight * least(part.loss, self._target(part, labels, teacher))
        return total

    def _target(self, part: Part, labels: Tensor, teacher: Tensor | None) -> Tensor:
        if part.on == "labels":
            return labels
        if teacher is None:
            raise ConfigError("a loss learns from a teacher, but the data have no teacher's scores")
        return teacher
