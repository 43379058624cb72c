"""What could not be done, and is tried again: after pauses that double."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

FIRST_S = 1.0
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class _Failed:
    times: int
    again_at: float


class Attempts:
    """How often each thing has failed since it was last done."""

    def __init__(self) -> None:
        self._failed: dict[str, _Failed] = {}

    @property
    def failures(self) -> Mapping[str, int]:
        """How often each has failed; none that is done."""
        return {name: failed.times for name, failed in self._failed.items()}

    def due(self, name: str) -> bool:
        """Whether it has failed, and its pause is over."""
        failed = self._failed.get(name)
        return failed is not None and time.monotonic() >= failed.again_at

    def failed(self, name: str) -> float:
        """Count a failure; return the seconds of pause before the next attempt."""
        times = self.failures.get(name, 0) + 1
        # No power that is too large for a float, however long it goes on.
        pause_s = min(LONGEST_S, FIRST_S * 2.0 ** min(times - 1, 30))
        self._failed[name] = _Failed(times, time.monotonic() + pause_s)
        return pause_s

    def done(self, name: str) -> None:
        """Forget its failures."""
        self._failed.pop(name, None)
