"""Work with a deadline: in a thread of its own, and given up when the time is over."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from retrieve_rerank.concurrency.deadline import Clock

T = TypeVar("T")

# Work that outlives its deadline keeps its thread until it ends; this many may pile up before
# further work with a deadline has to wait for one.
MAX_THREADS = 16

THREAD = "retrieve-rerank work"
_LONGEST_END_S = 5.0  # more than a model takes for a slice that was to fit into a deadline


class Threads:
    """Run work within a time; safe to share between threads."""

    def __init__(self) -> None:
        self._left = threading.BoundedSemaphore(MAX_THREADS)

    def run(self, work: Callable[[], T], clock: Clock) -> T:
        """Return what `work` does; raise DeadlineExceededError where that takes too long."""
        if clock.deadline_s is None:
            return work()
        if not self._left.acquire(timeout=clock.remaining_s):
            raise clock.exceeded()
        future = begin(work)
        future.add_done_callback(lambda _: self._left.release())
        try:
            return future.result(timeout=clock.remaining_s)
        except TimeoutError as exc:
            if future.done():  # with its answer at the last moment, or a TimeoutError of its own
                return future.result()
            raise clock.exceeded() from exc


def begin(work: Callable[[], T]) -> Future[T]:
    """Start `work` in a thread of its own, which does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            found = work()
        except Exception as exc:  # handed to whoever waits
            future.set_exception(exc)
        else:
            future.set_result(found)

    threading.Thread(target=run, name=THREAD, daemon=True).start()
    return future


def given_up() -> list[threading.Thread]:
    """Return the threads of work that nobody waits for any more, and that goes on."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@atexit.register
def _let_end() -> None:
    """Wait for given-up work, within reason, when Python ends.

    Before 3.14 the whole process is aborted when a daemon thread comes back from a model's C++
    code meanwhile, https://github.com/python/cpython/issues/87135.
    """
    ends = time.monotonic() + _LONGEST_END_S
    for thread in given_up():
        thread.join(max(0.0, ends - time.monotonic()))
