"""Work in threads of its own, which go on where nobody waits any more."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

from retrieve_rerank.concurrency.deadline import Deadline

T = TypeVar("T")

# Work that outlives its deadline keeps its thread until it ends; this many may pile up before
# further work with a deadline has to wait for one.
MAX_THREADS = 16

THREAD = "retrieve-rerank work"
_LONGEST_END_S = 5.0  # more than a model takes for a slice that was to fit into a deadline


class Threads:
    """Run work within a deadline; safe to share between threads."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MAX_THREADS)

    def run(self, work: Callable[[], T], deadline: Deadline) -> T:
        """Return what `work` does; raise DeadlineExceededError where that takes too long."""
        if deadline.within_s is None:
            return work()
        if not self._free.acquire(timeout=deadline.left_s):
            raise deadline.exceeded()
        try:
            future = in_thread(work)
        except BaseException:  # no thread can be started
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        try:
            return future.result(timeout=deadline.left_s)
        except TimeoutError as exc:
            if future.done():  # with its answer at the last moment, or a TimeoutError of its own
                return future.result()
            raise deadline.exceeded() from exc


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Start `work` in a thread of its own, which does not keep the process from ending.

    It sees the caller's context variables, such as the span that a trace is in.
    """
    future: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        try:
            result = context.run(work)
        except BaseException as exc:  # handed to whoever waits, a panic of Rust code too
            future.set_exception(exc)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=THREAD, daemon=True).start()
    return future


def at_work() -> list[threading.Thread]:
    """Return the threads that have not ended, such as those of work that was given up."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@atexit.register
def _let_end() -> None:
    """Wait for what is still at work, within reason, when Python ends.

    Before 3.14 the whole process is aborted when a daemon thread comes back from a model's C++
    code meanwhile, https://github.com/python/cpython/issues/87135.
    """
    deadline = Deadline(_LONGEST_END_S)
    for thread in at_work():
        thread.join(deadline.left_s)
