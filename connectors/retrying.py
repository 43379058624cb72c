"""When a request that failed is sent again: one policy for all servers."""

from __future__ import annotations

import logging
import math
import random
import time

from retrieve_rerank.errors import RateLimitedError, RetrieveRerankError

logger = logging.getLogger(__name__)

PATIENCE_S = 1.5
"""For which a search without a deadline goes on trying: long enough to find another node."""

LONG_PATIENCE_S = 120.0
"""For which what takes long anyway, such as a scan or a bulk load, goes on: a node restarts within
it."""

LONGEST_WISH_S = 30.0
"""A server that asks for a longer pause (Retry-After) is not waited for by a search."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_TOLD_S = 1.0  # a pause from which on it is said what is waited for


class Attempts:
    """How often and how long one request is tried."""

    def __init__(
        self,
        location: str,
        *,
        ends: float | None,
        patience_s: float,
        wish_s: float = LONGEST_WISH_S,
        nodes: int = 1,
        waited: list[str] | None = None,
    ) -> None:
        """`ends` is when the caller stops waiting, by the monotonic clock; None is never.

        A server's own wish for a pause is granted for `wish_s`, where that is more than the
        patience. Each of several `nodes` is tried before the first pause. `waited` is told what was
        waited for, a sentence for each longer pause.
        """
        self._location = location
        self._ends = math.inf if ends is None else ends
        self._patience_s = patience_s
        self._wish_s = wish_s
        self._nodes = nodes
        self._failed = 0
        self._began = time.monotonic()
        self._waited = [] if waited is None else waited

    @property
    def patient(self) -> bool:
        """Whether an answer that took too long is worth another try."""
        return self._patience_s >= LONG_PATIENCE_S

    def wait_s(self, error: RetrieveRerankError) -> float:
        """Say how many seconds to wait before trying again; raise the error where it is too late.

        The pauses double, with jitter, and a server's wish comes on top of them: it is not to be
        met by all clients at once.
        """
        self._failed += 1
        if self._failed < self._nodes:
            return 0.0
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (self._failed - self._nodes))
        wait_s = random.uniform(longest / 2, longest)
        patience_s = self._patience_s
        why = "cannot be reached"
        if isinstance(error, RateLimitedError):
            why = "limits the rate of requests"
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            wait_s += error.retry_after_s
            patience_s = max(patience_s, self._wish_s)
        until = time.monotonic() + wait_s
        if until - self._began > patience_s or until >= self._ends:
            raise error
        if wait_s >= _TOLD_S:
            self._waited.append(f"{self._location} {why}; waited {wait_s:.1f} s for it")
            logger.warning("%s %s; trying again in %.0f s", self._location, why, wait_s)
        return wait_s
