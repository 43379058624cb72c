"""Operations that are written once, and carried out in threads and in event loops alike.

An operation is a generator. It yields each step that takes time, is sent what came of it or has
thrown in what failed, and returns its result. A step is work of this process (anything that can be
called), several operations at once (`Together`), or whatever else `do` carries out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Together(NamedTuple):
    """Operations that do not wait for one another; answered with the list of their results."""

    operations: Sequence[Generator[Any, Any, Any]]


def drive(operation: Generator[Any, Any, T], do: Callable[[Any], Any]) -> T:
    """Carry an operation out in this thread, and return its result."""

    def outcome(step: Any) -> Any:
        if callable(step):
            return step()
        if isinstance(step, Together):
            first, *others = step.operations
            with ThreadPoolExecutor(max(1, len(others))) as pool:
                running = [pool.submit(copy_context().run, drive, each, do) for each in others]
                return [drive(first, do), *(each.result() for each in running)]
        return do(step)

    try:
        step = next(operation)
        while True:
            try:
                answer = outcome(step)
            except Exception as exc:  # the operation decides what a failure means
                step = operation.throw(exc)
            else:
                step = operation.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:  # where whoever waits was interrupted, or cancelled
        operation.close()


async def adrive(operation: Generator[Any, Any, T], do: Callable[[Any], Awaitable[Any]]) -> T:
    """Async twin of `drive`; work of this process is done in a thread."""

    async def outcome(step: Any) -> Any:
        if callable(step):
            return await asyncio.to_thread(step)
        if isinstance(step, Together):
            running = [adrive(each, do) for each in step.operations]
            # As in `drive`, all of them end before it is told that one has failed.
            answers = await asyncio.gather(*running, return_exceptions=True)
            for failed in answers:
                if isinstance(failed, BaseException):
                    raise failed
            return answers
        return await do(step)

    try:
        step = next(operation)
        while True:
            try:
                answer = await outcome(step)
            except Exception as exc:  # the operation decides what a failure means
                step = operation.throw(exc)
            else:
                step = operation.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:  # where whoever waits was interrupted, or cancelled
        operation.close()
