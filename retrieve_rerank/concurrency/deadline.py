"""The time by which an answer is wanted."""

from __future__ import annotations

import time

from retrieve_rerank.errors import DeadlineExceededError

LONGEST_S = 1_000_000
"""Eleven days: systems count longer waits in numbers that are too small for them."""


class Deadline:
    """How long somebody waits, from now on; LONGEST_S at most."""

    def __init__(self, within_s: float | None = None) -> None:
        """None waits for ever."""
        self.within_s = None if within_s is None else min(within_s, LONGEST_S)
        self._began = time.monotonic()

    @property
    def left_s(self) -> float | None:
        """Seconds left, 0 when it is over; None where there is no end."""
        if self.within_s is None:
            return None
        return max(0.0, self._began + self.within_s - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.left_s == 0.0

    def bound(self, seconds: float, *, location: str) -> float:
        """Return how much of `seconds` is left for what is at `location` to answer.

        Raises DeadlineExceededError where nothing is.
        """
        left_s = self.left_s
        if left_s is None:
            return seconds
        if not left_s:
            raise DeadlineExceededError(f"no answer from {location} within the time given")
        return min(seconds, left_s)

    def exceeded(self) -> DeadlineExceededError:
        """Make the error to raise."""
        return DeadlineExceededError(f"no time left within the deadline of {self.within_s:g} s")
