"""Sending: one client, an async one for each event loop, retries, deadlines.

An operation is a generator that yields a Call and is sent its answer, see `concurrency.steps`.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.event_loops import PerLoop
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S, PATIENCE_S, Attempts
from retrieve_rerank.concurrency.steps import Together, adrive, drive
from retrieve_rerank.concurrency.threads import in_thread
from retrieve_rerank.connectors.qdrant.address import Address, is_local
from retrieve_rerank.connectors.qdrant.answers import Answers
from retrieve_rerank.connectors.qdrant.errors import translated
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


class Notes(NamedTuple):
    """Answered with what there is to know of the calls so far, a sentence each.

    Such as what was waited for, and which points have no score.
    """


Steps: TypeAlias = Generator[Call | Notes | Together | Callable[[], Any], Any, T]
"""An operation: yields calls, is sent their answers or thrown our errors, returns its result."""


class _Operation(NamedTuple):
    """An operation under way."""

    deadline: Deadline
    patience_s: float
    """For trying each call again, where there is no deadline."""
    notes: list[str]
    """What there is to know of it, a sentence each."""


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
        operation = _Operation(Deadline(timeout_s), patience_s, [])
        return drive(steps, lambda step: self._send(step, operation))

    def search(self, steps: Steps[T], *, timeout_s: float | None = None) -> T:
        """Run an operation that someone waits for, and so tries again for a moment only.

        `timeout_s` bounds it as a whole, and is then how long it is tried.
        """
        return self.run(steps, timeout_s=timeout_s, patience_s=PATIENCE_S)

    def ask(self, method: str, **arguments: Any) -> Any:
        """Make a single call."""
        return self._send(Call(method, arguments), _Operation(Deadline(), LONG_PATIENCE_S, []))

    async def asearch(self, steps: Steps[T], *, timeout_s: float | None = None) -> T:
        """Do as `search` without blocking the event loop.

        Local mode, or a client that was given, does so in a thread.
        """
        if self.local or self._borrowed:
            return await asyncio.to_thread(self.search, steps, timeout_s=timeout_s)
        operation = _Operation(Deadline(timeout_s), PATIENCE_S, [])
        return await adrive(steps, lambda step: self._send_async(step, operation))

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

    def _send(self, step: Call | Notes, operation: _Operation) -> Any:
        if isinstance(step, Notes):
            return tuple(dict.fromkeys(operation.notes))

        def once() -> Any:
            client = self._client
            if client is None:
                raise ConnectorError(f"{self.location} is closed; connect anew")
            method, arguments = getattr(client, step.method), self._timed(step, operation.deadline)
            limit_s = self._limit_s(step, operation.deadline)
            with self._errors():
                if self.local:
                    with self._turn:
                        answer = method(**arguments)
                elif step.method in _UNTIMED and limit_s is not None:
                    answer = in_thread(lambda: method(**arguments)).result(limit_s)
                else:
                    answer = method(**arguments)
            return self._answers.read(step.method, step.arguments, answer, operation.notes)

        return once() if step.method in _ONCE else self._attempts(operation).run(once)

    async def _send_async(self, step: Call | Notes, operation: _Operation) -> Any:
        if isinstance(step, Notes):
            return tuple(dict.fromkeys(operation.notes))

        async def once() -> Any:
            method = getattr(await self._loops.get(), step.method)
            arguments = self._timed(step, operation.deadline)
            with self._errors():
                async with asyncio.timeout(self._limit_s(step, operation.deadline)):
                    answer = await method(**arguments)
            return self._answers.read(step.method, step.arguments, answer, operation.notes)

        return await (once() if step.method in _ONCE else self._attempts(operation).arun(once))

    def _attempts(self, operation: _Operation) -> Attempts:
        return Attempts(
            self.location,
            operation.deadline,
            patience_s=operation.patience_s,
            waited=operation.notes,
        )

    def _open_async(self) -> AsyncQdrantClient:
        if self._client is None:
            raise ConnectorError(f"{self.location} is closed; connect anew")
        return self._address.open_async(timeout_s=self._global_s)

    def _timed(self, call: Call, deadline: Deadline) -> dict[str, Any]:
        """Add the time that the call may take, in whole seconds as server and client want it."""
        arguments = dict(call.arguments)
        if call.method not in _UNTIMED and not self.local:
            own_s = self._timeout_s if call.method in _READS else self._write_timeout_s
            own_s = min(arguments.get("timeout", own_s), self.max_timeout_s)
            arguments["timeout"] = math.ceil(deadline.bound(own_s, location=self.location))
        return arguments

    def _limit_s(self, call: Call, deadline: Deadline) -> float | None:
        """Say how many seconds to wait for a call, where the client would wait longer."""
        untimed = call.method in _UNTIMED and self._address.grpc
        own_s = self._timeout_s if untimed else math.inf
        limit_s = deadline.bound(own_s, location=self.location)
        return None if math.isinf(limit_s) else limit_s

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
