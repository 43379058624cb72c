"""How long a request is worked on: within its deadline, and while somebody waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from traceback import format_exception
from typing import Any, TypeVar

from fastapi import Request

from retrieve_rerank.concurrency.caller import Caller, caller
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.server.refusals import INVALID, Refusal, refusal_for

T = TypeVar("T")

logger = logging.getLogger(__name__)

DEADLINE = "X-Deadline-S"
"""Header in which any request may say how many seconds it has."""

GONE = 499
"""Status in the log for a client that did not wait, as nginx has it."""


def deadline_of(request: Request, *, asked_s: float | None = None, most_s: float) -> Deadline:
    """Return the nearest of what a request asks for and what it may; raise Refusal."""
    given = request.headers.get(DEADLINE)
    if given is not None:
        try:
            header_s = float(given)
        except ValueError:
            header_s = 0.0
        if not header_s > 0:
            raise Refusal(INVALID, f"expected a number of seconds above 0 in {DEADLINE}")
        asked_s = header_s if asked_s is None else min(asked_s, header_s)
    request.scope["visit"].hurried = asked_s is not None and asked_s < most_s
    return Deadline(most_s if asked_s is None else min(asked_s, most_s))


def refusal_of(request: Request, error: Exception) -> Refusal:
    """Turn an error into what the sender is told, see `refusal_for`; log what is the server's.

    A deadline that passed is the sender's own fault, where the request sets it: 408, not 504.
    """
    refusal, visit = refusal_for(error), request.scope["visit"]
    if refusal.status == 504 and visit.hurried:
        return Refusal(408, "no answer within the deadline that the request sets")
    if refusal.status >= 500 and not isinstance(error, Refusal):
        facts = {"request_id": visit.request_id, "route": visit.route}
        if not isinstance(error, RetrieveRerankError):
            facts["error"] = visit.without_texts("".join(format_exception(error)))
        told = visit.without_texts(error)
        logger.error("request failed: %s", told, extra={"facts": facts})
    return refusal


async def while_waited_for(request: Request, work: Coroutine[Any, Any, T], who: Caller) -> T:
    """Do a request's work, and give it up when its client is gone; the body must have been read.

    The work sees `who` as its caller, so that threads of it that are left over soon end.
    """
    caller.set(who)
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Refusal(GONE, "the client is gone")
        return doing.result()
    finally:
        who.gone = True
        doing.cancel()
        leaving.cancel()


class Workers(ThreadPoolExecutor):
    """Threads, each counted by the caller that it works for."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a thread do it."""
        who = caller.get()
        if who is None:
            return super().submit(fn, *args, **kwargs)
        who.begun()
        doing = super().submit(fn, *args, **kwargs)
        doing.add_done_callback(lambda _: who.ended())
        return doing


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
