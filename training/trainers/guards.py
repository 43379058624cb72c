"""What can go wrong in training, noticed while it does: collapse, divergence, NaN.

Losses are compared with what they would be if all scores of a group were equal: ln(group size) for
`lce`, for the others whatever their formula says. Some never become 0, as `list-net` on the labels
of 1 positive and 47 negatives, which the best scores take from 3.87 to 3.85: what counts as learnt
is the way down to that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

WINDOW = 50
"""Steps that a guard looks back on, or a fifth of a smaller budget."""
EQUAL = 1e-3
"""Scores of a group no further apart are as good as equal: logits of a working model are 1 and
more apart."""
STUCK = 0.99
"""Share of the loss of equal scores, above the least there is, that counts as nothing learnt."""
DIVERGED = 1.5
"""Times the loss of equal scores, and the loss at the start, that counts as diverged."""


_FEWEST = 25  # steps: the mean loss of fewer says little


class Stopped(Exception):
    """Training is over before its time; says why and what to change."""


class Seen(NamedTuple):
    """What a step showed."""

    loss: float
    if_equal: float
    """The loss if all scores were equal."""
    spread: float | None
    """How far apart a group's scores are, on average; None where no group has several."""
    least: float = 0.0
    """The loss of the best scores."""


class Guards:
    """Looks at each step; `see` raises Stopped."""

    def __init__(self, *, steps: int, learning_rate: float) -> None:
        self._steps = steps
        self._learning_rate = learning_rate
        self._advice = f"lower learning_rate (now {learning_rate:g}) or lengthen warmup"
        window = min(WINDOW, max(steps // 5, _FEWEST))
        self._first = 0.0
        self._seen: deque[Seen] = deque(maxlen=window)

    def state(self) -> dict[str, Any]:
        """Return what was seen, as JSON has it."""
        return {"first": self._first, "seen": list(self._seen)}

    def remember(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` told."""
        self._first = state["first"]
        self._seen.extend(Seen(*each) for each in state["seen"])

    def see(self, step: int, seen: Seen) -> None:
        """Take in a step; `step` counts from 1."""
        if not math.isfinite(seen.loss):
            raise Stopped(
                f"the loss became {seen.loss} at step {step}: {self._advice}; where that does not"
                " help, look for weights of the base or labels that are no numbers"
            )
        self._first = self._first if self._seen else seen.loss
        self._seen.append(seen)
        if len(self._seen) < (self._seen.maxlen or 0):
            return
        losses = [each.loss for each in self._seen]
        loss = _mean(losses)
        if_equal = _mean([each.if_equal for each in self._seen])
        spreads = [each.spread for each in self._seen if each.spread is not None]
        if loss > DIVERGED * max(if_equal, self._first):
            raise Stopped(
                f"training diverged: the loss is {loss:.3g} at step {step}, {if_equal:.3g} if all"
                f" scores were equal: {self._advice}"
            )
        if spreads and _mean(spreads) < EQUAL:
            raise Stopped(
                f"the scores collapsed: texts of one query are {_mean(spreads):.1g} apart at step"
                f" {step}: {self._advice}, or start from another base"
            )
        # Where scores are far apart from the start, the loss may fall from well above that of equal
        # ones, and all is well.
        above = [each.loss - each.least for each in self._seen]
        equal_above = if_equal - _mean([each.least for each in self._seen])
        half = len(above) // 2
        falling = _mean(above[half:]) < STUCK * _mean(above[:half])
        if step > self._steps / 2 and _mean(above) >= STUCK * equal_above and not falling:
            raise Stopped(
                f"nothing is learnt: the loss is {loss:.3f} after {step} of {self._steps} steps,"
                f" {if_equal:.3f} if all scores of a query were equal: take another learning_rate"
                f" (now {self._learning_rate:g}; a sweep tries several), more steps, or look at the"
                " data with rr data check"
            )

    def see_gradient(self, step: int, norm: float) -> None:
        """Take in the norm of a step's gradient."""
        if not math.isfinite(norm):
            raise Stopped(f"the gradient became {norm} at step {step}: {self._advice}")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def warn_if_below(measures: Sequence[float], *, floor: float, spent: float) -> str | None:
    """Say that the dev measure stays below `floor` after half of the budget, else None.

    `spent` is the share of the steps that were taken.
    """
    if spent < 0.5 or len(measures) < 2 or max(measures) >= floor or measures[-1] > measures[-2]:
        return None
    return (
        f"after {spent:.0%} of the steps the dev measure is {measures[-1]:.3f}, below {floor:.3f}"
        " where it has to get beyond, and it is not rising: more or cleaner data, or another base,"
        " are likelier to help than more steps"
    )
