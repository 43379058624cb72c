"""One event loop in a thread of its own, in which threads without one have their work done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_starting = threading.Lock()
_thread: threading.Thread | None = None
_loop: asyncio.AbstractEventLoop


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Have `work` done and return its result; Ctrl-C ends the wait, and the work with it."""
    global _thread, _loop
    with _starting:
        if not _runs():
            _loop = asyncio.new_event_loop()
            # A daemon: work that nobody waits for must not keep the process from ending.
            _thread = threading.Thread(target=_loop.run_forever, name="background", daemon=True)
            _thread.start()
    future = asyncio.run_coroutine_threadsafe(work, _loop)
    try:
        return future.result()
    finally:
        future.cancel()  # nothing where it is done


def clean_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have `work` done, and do not wait for it; nothing where `wait_for` was never called.

    Takes no lock: garbage is collected at any moment, in a thread that holds it too.
    """
    if _runs():
        _loop.call_soon_threadsafe(lambda: _loop.create_task(work()))


def _runs() -> bool:
    # The thread does not live on in a forked process.
    return _thread is not None and _thread.is_alive()
