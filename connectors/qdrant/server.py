"""Sending: one client, an async one for each event loop, retries, deadlines.

An operation is a generator that yields a Call and is sent its answer, so that sync and async
run the same one. Knows nothing of what the calls are about.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, TypeAlias, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient

from retrieve_rerank.connectors.qdrant.address import Address
from retrieve_rerank.connectors.qdrant.failures import is_transient, translated
from retrieve_rerank.errors import (
    ConnectorError,
    DeadlineExceededError,
    RateLimitedError,
    RetrieveRerankError,
)
from retrieve_rerank.per_loop import PerLoop
from retrieve_rerank.proxies import through

T = TypeVar("T")

TIMEOUT_S = 10.0
"""That one request may take where nothing else is said; the client's own 5 s is short for a
collection that has just been loaded."""

WRITE_TIMEOUT_S = 60.0
"""That one batch may take: servers stall while they index."""

_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0

# These take no timeout.
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


Steps: TypeAlias = Generator[Call | Compute, Any, T]
"""An operation: yields calls, is sent their answers or thrown our errors, returns its result."""


@dataclass
class Deadline:
    """The end of the time that an operation has, by the monotonic clock; None is none."""

    timeout_s: float | None
    started: float = field(default_factory=time.monotonic)

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
        """`client` is one in local mode that is open already; it is left open."""
        self.location = address.location
        self.local = client is not None or address.folder is not None
        self.max_timeout_s = math.inf
        """What the server's strict mode allows."""
        self._address = address
        self._reached = self.location if self.local else f"{self.location}{through(address.url)}"
        self._timeout_s = timeout_s or TIMEOUT_S
        self._write_timeout_s = max(WRITE_TIMEOUT_S, self._timeout_s)
        self._turn = threading.RLock()  # local mode does not bear two threads at once
        self._loops = PerLoop(self._open_async, AsyncQdrantClient.close)
        self._borrowed = client is not None
        with self._errors():
            self._client: QdrantClient | None = client or address.open(timeout_s=self._global_s)

    def run(self, steps: Steps[T], *, timeout_s: float | None = None) -> T:
        """Run an operation; `timeout_s` bounds it as a whole."""
        deadline = Deadline(timeout_s)
        try:
            call = next(steps)
            while True:
                try:
                    answer = self._send(call, deadline)
                except RetrieveRerankError as exc:
                    call = steps.throw(exc)
                else:
                    call = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def ask(self, method: str, **arguments: Any) -> Any:
        """Make a single call."""
        return self._send(Call(method, arguments), Deadline(None))

    async def arun(self, steps: Steps[T], *, timeout_s: float | None = None) -> T:
        """Run an operation without blocking the event loop; local mode does so in a thread."""
        if self.local:
            return await asyncio.to_thread(self.run, steps, timeout_s=timeout_s)
        deadline = Deadline(timeout_s)
        try:
            call = next(steps)
            while True:
                try:
                    answer = await self._send_async(call, deadline)
                except RetrieveRerankError as exc:
                    call = steps.throw(exc)
                else:
                    call = steps.send(answer)
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

    def _send(self, call: Call | Compute, deadline: Deadline) -> Any:
        if isinstance(call, Compute):
            return call.function()
        for attempt in count(1):
            try:
                return self._once(call, deadline)
            except RetrieveRerankError as exc:
                time.sleep(_pause(call, exc, attempt, deadline))

    def _once(self, call: Call, deadline: Deadline) -> Any:
        client = self._client
        if client is None:
            raise ConnectorError(f"{self.location} is closed; connect anew")
        method, arguments = getattr(client, call.method), self._timed(call, deadline)
        with self._errors():
            if not self.local:
                return method(**arguments)
            with self._turn:
                return method(**arguments)

    async def _send_async(self, call: Call | Compute, deadline: Deadline) -> Any:
        if isinstance(call, Compute):
            return await asyncio.to_thread(call.function)
        method = getattr(await self._loops.get(), call.method)
        for attempt in count(1):
            arguments = self._timed(call, deadline)
            limit = asyncio.timeout(None if deadline.timeout_s is None else deadline.left_s)
            try:
                with self._errors():
                    async with limit:
                        return await method(**arguments)
            except RetrieveRerankError as exc:
                await asyncio.sleep(_pause(call, exc, attempt, deadline))

    def _open_async(self) -> AsyncQdrantClient:
        if self._client is None:
            raise ConnectorError(f"{self.location} is closed; connect anew")
        return self._address.open_async(timeout_s=self._global_s)

    def _timed(self, call: Call, deadline: Deadline) -> dict[str, Any]:
        """Add the time that the call may take, in whole seconds as server and client want it."""
        arguments = dict(call.arguments)
        left_s = deadline.left_s
        if call.method not in _UNTIMED and not self.local:
            own_s = self._timeout_s if call.method in _READS else self._write_timeout_s
            own_s = arguments.get("timeout", own_s)
            arguments["timeout"] = math.ceil(min(own_s, left_s, self.max_timeout_s))
        return arguments

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RetrieveRerankError:
            raise
        except TimeoutError as exc:  # of the event loop: this library's own are among the above
            raise DeadlineExceededError(f"{self.location} gave no answer in time") from exc
        except Exception as exc:
            error = translated(exc, self._reached)
            if error is None:
                raise
            raise error from exc


def _pause(call: Call, error: RetrieveRerankError, attempt: int, deadline: Deadline) -> float:
    """Tell how many seconds to wait before the next attempt; raise `error` where there is none.

    A server's own wish (Retry-After) is granted up to half a minute, and never beyond the
    deadline: the caller learns of it instead.
    """
    if not is_transient(error) or call.method in _ONCE or attempt == _ATTEMPTS:
        raise error
    wished = error.retry_after_s if isinstance(error, RateLimitedError) else None
    # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    pause_s = random.uniform(0, _FIRST_PAUSE_S * 2**attempt) + (wished or 0.0)
    if pause_s > _LONGEST_PAUSE_S or pause_s >= deadline.left_s:
        raise error
    return pause_s
