"""On whose behalf a thread or task works: until when somebody waits, and whether anybody does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.errors import DeadlineExceededError


@dataclass(eq=False, slots=True)
class Caller:
    """Who waits for scores: until when, and how many tokens and threads that takes."""

    deadline: Deadline
    tokens: int = 0
    gone: bool = False
    """Whether nobody waits any more."""
    _threads: int = 0
    _last: Callable[[], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waits(self) -> bool:
        """Whether there is anybody to answer."""
        return not self.gone and not self.deadline.over

    def given_up(self) -> DeadlineExceededError:
        """Make the error to raise where nobody waits."""
        if self.gone:
            return DeadlineExceededError("nobody waits for the scores any more")
        return self.deadline.exceeded()

    def begun(self) -> None:
        """Count a thread that works for it."""
        with self._lock:
            self._threads += 1

    def ended(self) -> None:
        """Count it no more."""
        with self._lock:
            self._threads -= 1
            last = None if self._threads else self._last
        if last is not None:
            last()

    def when_left(self, last: Callable[[], None]) -> None:
        """Call a function as soon as no thread works for it, in the last one's thread or here."""
        with self._lock:
            self._last = last
            works = self._threads
        if not works:
            last()


caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""The one on whose behalf this thread or task works."""


def check_waited_for() -> None:
    """Raise DeadlineExceededError where nobody waits for what this thread works at."""
    who = caller.get()
    if who is not None and not who.waits:
        raise who.given_up()
