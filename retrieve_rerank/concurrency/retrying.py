"""When a request that failed is sent again: one policy for all search backends."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    RateLimitedError,
    RetrieveRerankError,
)

T = TypeVar("T")

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
        deadline: Deadline,
        *,
        patience_s: float,
        nodes: int = 1,
        waited: list[str] | None = None,
    ) -> None:
        """It is tried until the deadline, or for `patience_s` where there is none.

        Where there is none, a server's own wish for a pause is granted for LONGEST_WISH_S, if that
        is more. Each of several `nodes` is tried before the first pause. `waited` is told what was
        waited for, a sentence for each longer pause.
        """
        self._location = location
        self._deadline = deadline
        self._patience_s = max(patience_s, deadline.left_s or 0.0)
        self._nodes = nodes
        self._failed = 0
        self._began = time.monotonic()
        self._waited = [] if waited is None else waited

    def run(self, once: Callable[[], T]) -> T:
        """Return what one attempt does; raise what the last one raised."""
        while True:
            try:
                return once()
            except RetrieveRerankError as exc:
                wait_s = self.pause_s(exc)
                if wait_s is None:
                    raise
            time.sleep(wait_s)

    async def arun(self, once: Callable[[], Awaitable[T]]) -> T:
        """Async twin of `run`."""
        while True:
            try:
                return await once()
            except RetrieveRerankError as exc:
                wait_s = self.pause_s(exc)
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)

    def pause_s(self, error: RetrieveRerankError) -> float | None:
        """Say how many seconds to wait before trying again; None where that is of no use.

        The pauses double, with jitter, and a server's wish comes on top of them: it is not to be
        met by all clients at once.
        """
        late = isinstance(error, DeadlineExceededError) and self._patience_s >= LONG_PATIENCE_S
        if not (late or may_pass(error)):
            return None
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
            patience_s = max(patience_s, LONGEST_WISH_S)
        left_s = self._deadline.left_s
        waited_s = time.monotonic() - self._began
        if waited_s + wait_s > patience_s or (left_s is not None and wait_s >= left_s):
            return None
        if wait_s >= _TOLD_S:
            self._waited.append(f"{self._location} {why}; waited {wait_s:.1f} s for it")
            logger.warning("%s %s; trying again in %.0f s", self._location, why, wait_s)
        return wait_s


def may_pass(error: RetrieveRerankError) -> bool:
    """Tell whether the same request may do better in a moment."""
    if isinstance(error, ConnectionFailedError):
        return not error.lasting
    return isinstance(error, RateLimitedError)
