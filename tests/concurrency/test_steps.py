"""Operations in steps: in a thread and in an event loop they come to the same."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import pytest

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.steps import Together, adrive, drive
from retrieve_rerank.concurrency.threads import MAX_THREADS, Threads

T = TypeVar("T")

SPAN: ContextVar[str] = ContextVar("SPAN", default="none")


class Ask(NamedTuple):
    what: str


class RefusedError(Exception):
    pass


def answer(ask: Ask) -> str:
    if ask.what == "refuse":
        raise RefusedError(ask.what)
    return ask.what.upper()


async def answer_in_loop(ask: Ask) -> str:
    await asyncio.sleep(0)
    return answer(ask)


def both(make: Callable[[], Generator[Any, Any, T]]) -> Iterator[T]:
    yield drive(make(), answer)
    yield asyncio.run(adrive(make(), answer_in_loop))


def test_steps_are_answered_in_order() -> None:
    def operation() -> Generator[Any, Any, list[str]]:
        first = yield Ask("a")
        work = yield lambda: f"{first}b"
        some = yield Together([letters("c"), letters("d"), letters("e")])
        return [first, work, *some]

    def letters(which: str) -> Generator[Any, Any, str]:
        answered = yield Ask(which)
        return f"{answered}{(yield Ask(which))}"

    for result in both(operation):
        assert result == ["A", "Ab", "CC", "DD", "EE"]


def test_the_operation_decides_what_a_failure_means() -> None:
    def operation() -> Generator[Any, Any, str]:
        try:
            yield Ask("refuse")
        except RefusedError:
            return str((yield Ask("without")))
        return "unreached"

    assert list(both(operation)) == ["WITHOUT", "WITHOUT"]


def test_operations_together_end_before_one_that_failed_is_told_of() -> None:
    log: list[str] = []

    def failing() -> Generator[Any, Any, None]:
        yield Ask("refuse")

    def slow() -> Generator[Any, Any, None]:
        for _ in range(3):
            yield Ask("a")
        log.append("slow")

    def operation() -> Generator[Any, Any, list[str]]:
        try:
            yield Together([slow(), failing(), slow()])
        except RefusedError:
            log.append("told")
        told, log[:] = list(log), []
        return told

    assert list(both(operation)) == [["slow", "slow", "told"]] * 2


@pytest.mark.parametrize("step", [Ask("refuse"), lambda: answer(Ask("refuse"))])
def test_a_failure_shows_where_it_came_from_and_who_asked(step: Any) -> None:
    ended: list[bool] = []

    def operation() -> Generator[Any, Any, None]:
        try:
            yield step
        finally:
            ended.append(True)

    for asynchronous in (False, True):
        with pytest.raises(RefusedError) as caught:
            if asynchronous:
                asyncio.run(adrive(operation(), answer_in_loop))
            else:
                drive(operation(), answer)
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert {"operation", "answer"} <= set(names)
    assert ended == [True, True]


async def test_a_cancelled_operation_ends_with_what_it_was_at() -> None:
    ended: list[str] = []

    def operation() -> Generator[Any, Any, None]:
        try:
            yield Ask("wait")
        finally:
            ended.append("operation")

    async def wait(_: Ask) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("step")

    task = asyncio.create_task(adrive(operation(), wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["step", "operation"]


def test_threads_see_the_callers_context() -> None:
    def span() -> Generator[Any, Any, str]:
        found: str = yield SPAN.get
        return found

    def spans() -> Generator[Any, Any, list[str]]:
        found: list[str] = yield Together([span(), span()])
        return found

    token = SPAN.set("search")
    try:
        assert list(both(spans)) == [["search"] * 2] * 2
        assert Threads().run(SPAN.get, Deadline(60)) == "search"
    finally:
        SPAN.reset(token)


class PanicError(BaseException):
    """What Rust code raises through Python, no Exception."""


def test_work_that_panics_is_told_of_and_frees_its_thread() -> None:
    def panic() -> None:
        raise PanicError

    threads = Threads()
    for _ in range(MAX_THREADS + 1):
        with pytest.raises(PanicError):
            threads.run(panic, Deadline(60))
