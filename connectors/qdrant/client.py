"""Sending: one client, an async one for each event loop, retries, deadlines.

An operation is a generator that yields a Call and is sent its answer, so that sync and async run
the same one.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient

from retrieve_rerank.concurrency.event_loops import PerLoop
from retrieve_rerank.concurrency.threads import begin
from retrieve_rerank.connectors.qdrant.address import Address, is_local
from retrieve_rerank.connectors.qdrant.answers import Answers
from retrieve_rerank.connectors.qdrant.errors import is_transient, translated
from retrieve_rerank.connectors.retrying import LONG_PATIENCE_S, PATIENCE_S, Attempts
from retrieve_rerank.errors import ConnectorError, DeadlineExceededError, RetrieveRerankError
from retrieve_rerank.network.proxies import through

T = TypeVar("T")

TIMEOUT_S = 10.0
"""That one request may take where nothing else is said; the client's own 5 s is short for a
collection that has just been loaded."""

WRITE_TIMEOUT_S = 60.0
"""That one batch may take: servers stall while they index."""

# These take no timeout; by gRPC the client gives them that of writes.
_UNTIMED = frozenset({"info", "get_collection", "get_collections", "get_aliases"})
_READS = frozenset({*_UNTIMED, "query_batch_points", "retrieve", "scroll", "count"})
_ONCE = frozenset(
    {
        *("create_collection", "delete_collection", "update_collection_aliases"),
        *("create_vector_name", "delete_vector_name"),
    }
)
"""A second try of these fails where the first one did its work unheard."""


class Call(NamedTuple):
    """A method of the client, and what it is called with."""

    method: str
    arguments: Mapping[str, Any] = {}


class Compute(NamedTuple):
    """Work of this process that takes a while, such as encoding a query."""

    function: Callable[[], Any]


class Notes(NamedTuple):
    """Answered with what there is to know of the calls so far, a sentence each.

    Such as what was waited for, and which points have no score.
    """


class Together(NamedTuple):
    """Operations that do not wait for one another; answered with the list of their results."""

    operations: Sequence[Generator[Any, Any, Any]]


Step: TypeAlias = Call | Compute | Notes | Together
Steps: TypeAlias = Generator[Step, Any, T]
"""An operation: yields calls, is sent their answers or thrown our errors, returns its result."""


@dataclass
class Terms:
    """The time that an operation has, by the monotonic clock, and how it has been spent."""

    timeout_s: float | None
    """For all of it; None is no end."""
    patience_s: float
    """For trying each call again."""
    started: float = field(default_factory=time.monotonic)
    notes: list[str] = field(default_factory=list)
    """What there is to know of it, a sentence each."""

    @property
    def ends(self) -> float | None:
        """When it is over."""
        return None if self.timeout_s is None else self.started + self.timeout_s

    def attempts(self, location: str) -> Attempts:
        """Begin to try a call."""
        return Attempts(location, ends=self.ends, patience_s=self.patience_s, waited=self.notes)

    @property
    def left_s(self) -> float:
        """Seconds left; raises DeadlineExceededError where there are none."""
        if self.timeout_s is None:
            return math.inf
        left = self.started + self.timeout_s - time.monotonic()
        if left <= 0:
            raise DeadlineExceededError(f"no answer within {self.timeout_s:g} s")
        return left


class Server:
    """Sends calls to one server or one local mode; safe to share between threads and tasks."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float | None = None,
        client: QdrantClient | None = None,
    ) -> None:
        """`client` is one that is open already; it stays so, and serves event loops in threads."""
        self.location = address.location
        self.local = address.folder is not None if client is None else is_local(client)
        self.max_timeout_s = math.inf
        """What the server's strict mode allows."""
        self._address = address
        self._reached = self.location if self.local else f"{self.location}{through(address.url)}"
        self._timeout_s = timeout_s or TIMEOUT_S
        self._write_timeout_s = max(WRITE_TIMEOUT_S, self._timeout_s)
        self._turn = threading.RLock()  # local mode does not bear two threads at once
        self._loops = PerLoop(self._open_async, AsyncQdrantClient.close)
        self._borrowed = client is not None
        self._answers = Answers(self._reached, grpc=address.grpc)
        with self._errors():
            self._client: QdrantClient | None = client or address.open(timeout_s=self._global_s)

    def run(
        self,
        steps: Steps[T],
        *,
        timeout_s: float | None = None,
        patience_s: float = LONG_PATIENCE_S,
    ) -> T:
        """Run an operation; `timeout_s` bounds it as a whole.

        A call that may do better later is tried again: until that end, or for `patience_s`.
        """
        return self._run(steps, Terms(timeout_s, patience_s))

    def _run(self, steps: Steps[T], terms: Terms) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._send(step, terms)
                except RetrieveRerankError as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def search(self, steps: Steps[T], *, timeout_s: float | None = None) -> T:
        """Run an operation that someone waits for, and so tries again for a moment only.

        `timeout_s` bounds it as a whole, and is then how long it is tried.
        """
        return self.run(steps, timeout_s=timeout_s, patience_s=timeout_s or PATIENCE_S)

    def ask(self, method: str, **arguments: Any) -> Any:
        """Make a single call."""
        return self._send(Call(method, arguments), Terms(None, LONG_PATIENCE_S))

    async def asearch(self, steps: Steps[T], *, timeout_s: float | None = None) -> T:
        """Do as `search` without blocking the event loop.

        Local mode, or a client that was given, does so in a thread.
        """
        if self.local or self._borrowed:
            return await asyncio.to_thread(self.search, steps, timeout_s=timeout_s)
        return await self._arun(steps, Terms(timeout_s, timeout_s or PATIENCE_S))

    async def _arun(self, steps: Steps[T], terms: Terms) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._send_async(step, terms)
                except RetrieveRerankError as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def close(self) -> None:
        """Close the client; closing twice is harmless."""
        with self._turn:
            client, self._client = self._client, None
            if client is not None and not self._borrowed:
                client.close()

    async def aclose(self) -> None:
        """Close this event loop's client, and the other one."""
        await self._loops.aclose()
        self.close()

    @property
    def _global_s(self) -> float:
        # By gRPC the client times writes by its own setting alone.
        return self._write_timeout_s if self._address.grpc else self._timeout_s

    def _send(self, step: Step, terms: Terms) -> Any:
        if isinstance(step, Compute):
            return step.function()
        if isinstance(step, Notes):
            return tuple(dict.fromkeys(terms.notes))
        if isinstance(step, Together):
            first, *others = step.operations
            with ThreadPoolExecutor(max(1, len(others))) as pool:
                running = [pool.submit(self._run, each, terms) for each in others]
                return [self._run(first, terms), *(each.result() for each in running)]
        attempts = terms.attempts(self.location)
        while True:
            try:
                return self._once(step, terms)
            except RetrieveRerankError as exc:
                time.sleep(_wait_s(step, exc, attempts))

    def _once(self, call: Call, terms: Terms) -> Any:
        client = self._client
        if client is None:
            raise ConnectorError(f"{self.location} is closed; connect anew")
        method, arguments = getattr(client, call.method), self._timed(call, terms)
        with self._errors():
            limit_s = self._limit_s(call, terms)
            if self.local:
                with self._turn:
                    answer = method(**arguments)
            elif call.method in _UNTIMED and limit_s is not None:
                answer = begin(lambda: method(**arguments)).result(limit_s)
            else:
                answer = method(**arguments)
        return self._answers.read(call.method, call.arguments, answer, terms.notes)

    async def _send_async(self, step: Step, terms: Terms) -> Any:
        if isinstance(step, Compute):
            return await asyncio.to_thread(step.function)
        if isinstance(step, Notes):
            return tuple(dict.fromkeys(terms.notes))
        if isinstance(step, Together):
            return await asyncio.gather(*(self._arun(each, terms) for each in step.operations))
        method = getattr(await self._loops.get(), step.method)
        attempts = terms.attempts(self.location)
        while True:
            arguments = self._timed(step, terms)
            try:
                with self._errors():
                    async with asyncio.timeout(self._limit_s(step, terms)):
                        answer = await method(**arguments)
                return self._answers.read(step.method, step.arguments, answer, terms.notes)
            except RetrieveRerankError as exc:
                await asyncio.sleep(_wait_s(step, exc, attempts))

    def _open_async(self) -> AsyncQdrantClient:
        if self._client is None:
            raise ConnectorError(f"{self.location} is closed; connect anew")
        return self._address.open_async(timeout_s=self._global_s)

    def _timed(self, call: Call, terms: Terms) -> dict[str, Any]:
        """Add the time that the call may take, in whole seconds as server and client want it."""
        arguments = dict(call.arguments)
        left_s = terms.left_s
        if call.method not in _UNTIMED and not self.local:
            own_s = self._timeout_s if call.method in _READS else self._write_timeout_s
            own_s = arguments.get("timeout", own_s)
            arguments["timeout"] = math.ceil(min(own_s, left_s, self.max_timeout_s))
        return arguments

    def _limit_s(self, call: Call, terms: Terms) -> float | None:
        """Say how many seconds to wait for a call, where the client would wait longer."""
        if call.method in _UNTIMED and self._address.grpc:
            return min(self._timeout_s, terms.left_s)
        return None if terms.ends is None else terms.left_s

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RetrieveRerankError:
            raise
        except TimeoutError as exc:  # of a thread or an event loop; our own are among the above
            raise DeadlineExceededError(f"{self.location} gave no answer in time") from exc
        except Exception as exc:
            port = self._address.grpc_port if self._address.grpc else None
            error = translated(exc, self._reached, grpc_port=port)
            if error is None:
                raise
            raise error from exc


def _wait_s(call: Call, error: RetrieveRerankError, attempts: Attempts) -> float:
    """Say how many seconds to wait before the next attempt; raise `error` where there is none."""
    late = isinstance(error, DeadlineExceededError) and attempts.patient
    if call.method in _ONCE or not (late or is_transient(error)):
        raise error
    return attempts.wait_s(error)
