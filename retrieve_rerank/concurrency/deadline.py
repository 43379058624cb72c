"""Time within a deadline, and how much work fits into it."""

from __future__ import annotations

import time

from retrieve_rerank.errors import DeadlineExceededError, InputError

FIRST_SLICE = 8
"""Hits scored to learn what one costs."""
LEAST_SLICE = 4
"""Hits; smaller batches cost almost as much."""

_PART = 0.6  # of the time left that a slice may take, so that what follows can correct it
_MARGIN = 1.2  # slices cost more than they did as often as less
_LEARNING_RATE = 0.4
_FORGETTING = 0.9  # where the estimate left no time for a try, it may have been too high


class Clock:
    """How much of a deadline is left."""

    def __init__(self, deadline_s: float | None) -> None:
        if deadline_s is not None and deadline_s <= 0:
            raise InputError(f"deadline_s must be above 0; got {deadline_s}")
        self.deadline_s = deadline_s
        self._started = time.monotonic()

    @property
    def remaining_s(self) -> float | None:
        """Seconds left; None without a deadline."""
        if self.deadline_s is None:
            return None
        return max(0.0, self._started + self.deadline_s - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining_s == 0.0

    def exceeded(self) -> DeadlineExceededError:
        """Make the error to raise."""
        return DeadlineExceededError(f"no time left within the deadline of {self.deadline_s:g} s")


class Pace:
    """What one hit costs a stage, learned from its slices; threads may share it."""

    def __init__(self) -> None:
        self._hit_s: float | None = None

    def slice(self, left: int, remaining_s: float) -> int:
        """Say how many of the `left` hits to score next; 0 when there is no time for any."""
        if self._hit_s is None:
            return min(left, FIRST_SLICE)
        cost = self._hit_s * _MARGIN
        if cost * left <= remaining_s * _PART:
            return left
        least = min(left, LEAST_SLICE)
        if cost * least > remaining_s:
            self._hit_s *= _FORGETTING
            return 0
        return max(least, min(left, int(remaining_s * _PART / cost)))

    def learn(self, hits: int, seconds: float) -> None:
        """Take in what a slice cost."""
        found = seconds / hits
        known = self._hit_s
        self._hit_s = found if known is None else known + _LEARNING_RATE * (found - known)
