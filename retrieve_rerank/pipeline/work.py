"""What a search waits for: the work of a connector or a stage, for threads and for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from retrieve_rerank.concurrency.deadline import Deadline


class Work(NamedTuple):
    """One piece of work, in both of its forms."""

    here: Callable[[], Any]
    in_loop: Callable[[], Awaitable[Any]]


async def awaited(work: Work, deadline: Deadline) -> Any:
    """Return what `work` does; raise DeadlineExceededError where that takes too long."""
    try:
        async with asyncio.timeout(deadline.left_s) as limit:
            return await work.in_loop()
    except Exception as exc:
        if limit.expired():
            raise deadline.exceeded() from exc
        raise
