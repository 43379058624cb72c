"""One score from a model's several labels: one of them, or what they expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import InputError

Label: TypeAlias = int | str
"""A label's number from 0, its name, or "expectation"."""

EXPECTATION = "expectation"


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How a pair's score is made of its logits."""

    column: int | None
    """The label whose raw logit is the score; None takes the expectation over all of them."""
    values: Sequence[float] = ()
    """What each label stands for in the expectation."""

    def __call__(self, logits: Vectors) -> Vectors:
        """Make one score of each row of logits; (n, labels) to (n,)."""
        if self.column is not None:
            return logits[:, self.column]
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        expected: Vectors = (probabilities @ np.array(self.values)).astype(np.float32)
        return expected


def choose_label(names: Sequence[str], label: Label | None, *, model: str) -> LabelScore:
    """Choose among a model's labels; raise InputError, listing them, where that is not clear.

    The expectation is over what the labels' names say where all are numbers ("0" to "3"), else
    over their numbers from 0.
    """
    listed = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
    if label is None and len(names) == 1:
        return LabelScore(0)
    if label is None:
        raise InputError(
            f"{model} gives each pair {len(names)} labels: {listed}; choose one with the option"
            f' label, or label="{EXPECTATION}" for the expectation of their probabilities'
        )
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        return LabelScore(label)
    if label in names:
        return LabelScore(list(names).index(str(label)))
    if label == EXPECTATION and len(names) > 1:
        return LabelScore(None, _values(names))
    raise InputError(f"{model} has no label {label!r}; it has: {listed}")


def _values(names: Sequence[str]) -> list[float]:
    try:
        return [float(name) for name in names]
    except ValueError:
        return [float(number) for number in range(len(names))]
