"""The one way to the server: sends requests, repeats those that may be, translates what fails.

An operation is a generator that yields each request and is sent its answer, see
`concurrency.steps`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias, TypeVar

from elastic_transport import ApiError, SerializationError, TextSerializer, TransportError
from elasticsearch import AsyncElasticsearch, Elasticsearch
from elasticsearch.serializer import JsonSerializer

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.event_loops import PerLoop
from retrieve_rerank.concurrency.retrying import PATIENCE_S, Attempts
from retrieve_rerank.concurrency.steps import adrive, drive
from retrieve_rerank.connectors.elasticsearch.answers import check_answer
from retrieve_rerank.connectors.elasticsearch.errors import refused_within, translated
from retrieve_rerank.connectors.elasticsearch.nodes import AsyncNode, SyncNode
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.network.answers import read_json
from retrieve_rerank.network.proxies import through
from retrieve_rerank.network.shapes import WrongShapeError

TIMEOUT_S = 30.0
"""For one request; the client's own 10 s are too short for bulk requests that build graphs."""

_SHOWN = 10_000  # bytes of a page that stands where JSON is expected

# Both releases of the server understand it from both releases of the client; the client's own
# `compatible-with=9` is refused by 8.x, https://github.com/elastic/elasticsearch-py/issues/2923.
_MIME = "application/vnd.elasticsearch+{}; compatible-with=8"

T = TypeVar("T")
Client = TypeVar("Client", Elasticsearch, AsyncElasticsearch)


class Request(NamedTuple):
    """What is sent; all of them may be sent twice, unless they say otherwise."""

    method: str
    path: str
    body: Any = None
    """JSON, or newline-delimited JSON where it is bytes."""
    params: Mapping[str, Any] | None = None
    safe: bool = True
    """Whether doing it twice leaves the server as once."""
    parts: Sequence[str | None] | None = None
    """What an answer in parts must have: the `_id` of each, in order; None for each search."""


Work: TypeAlias = Callable[[], Any]
"""What takes long here: encoding a query, say, which an event loop leaves to a thread."""

Steps: TypeAlias = Generator[Request | Work, Any, T]
"""An operation: yields requests, is sent answers or has errors thrown in, returns its result."""


class Cluster:
    """A connection to a server or several nodes of one; safe to share between threads."""

    def __init__(
        self,
        options: Mapping[str, Any] | Elasticsearch,
        *,
        location: str,
        timeout_s: float | None = None,
    ) -> None:
        """Take the client's options; raise ConfigError for such as it cannot use.

        Or a client that is open already: it stays so, and serves event loops in threads.
        """
        self.location = location
        self.timeout_s = timeout_s or TIMEOUT_S
        once: dict[str, Any] = {
            "request_timeout": self.timeout_s,
            "max_retries": 0,
            "retry_on_timeout": False,
        }
        self._borrowed = isinstance(options, Elasticsearch)
        if isinstance(options, Elasticsearch):
            self._options = {}
            self._client = options.options(**once)
        else:
            own = {JsonSerializer.mimetype: _Json(), TextSerializer.mimetype: _Text()}
            plain = {"accept-encoding": "identity"}  # which httpx does not ask for by itself
            self._options = {"headers": plain, **options, **once, "serializers": own}
            try:
                self._client = Elasticsearch(
                    **self._options, node_class=SyncNode, connections_per_node=32
                )
            except (ValueError, OSError) as exc:
                raise ConfigError(f"cannot use what is set for {location}: {exc}") from exc
        nodes = self._client.transport.node_pool.all()
        self.nodes = len(nodes)
        self._reached = f"{location}{through(nodes[0].base_url)}"
        self._async_clients = PerLoop(self._make_async, AsyncElasticsearch.close)

    def run(
        self, steps: Steps[T], *, timeout_s: float | None = None, patience_s: float = PATIENCE_S
    ) -> T:
        """Carry an operation out; `timeout_s` bounds it as a whole."""
        deadline = Deadline(timeout_s)
        return drive(steps, lambda request: self._send(request, deadline, patience_s))

    async def arun(
        self, steps: Steps[T], *, timeout_s: float | None = None, patience_s: float = PATIENCE_S
    ) -> T:
        """Async twin of `run`."""
        if self._borrowed:
            return await asyncio.to_thread(
                self.run, steps, timeout_s=timeout_s, patience_s=patience_s
            )
        deadline = Deadline(timeout_s)
        return await adrive(steps, lambda request: self._send_async(request, deadline, patience_s))

    def send(self, request: Request, *, patience_s: float = PATIENCE_S) -> Any:
        """Carry out an operation of one request; return the answer."""
        return self._send(request, Deadline(), patience_s)

    def close(self) -> None:
        """Close the connections of all threads; those of a running event loop end with it."""
        if not self._borrowed:
            self._client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of all threads."""
        await self._async_clients.aclose()
        self.close()

    def _send(self, request: Request, deadline: Deadline, patience_s: float) -> Any:
        def once() -> Any:
            client = self._bounded(self._client, deadline)
            with self._errors():
                return self._checked(client.perform_request(**_arguments(request)).body, request)

        return self._attempts(deadline, patience_s).run(once) if request.safe else once()

    async def _send_async(self, request: Request, deadline: Deadline, patience_s: float) -> Any:
        async def once() -> Any:
            client = self._bounded(await self._async_clients.get(), deadline)
            with self._errors():
                answer = await client.perform_request(**_arguments(request))
                return self._checked(answer.body, request)

        attempts = self._attempts(deadline, patience_s)
        return await (attempts.arun(once) if request.safe else once())

    def _attempts(self, deadline: Deadline, patience_s: float) -> Attempts:
        return Attempts(self.location, deadline, patience_s=patience_s, nodes=self.nodes)

    def _bounded(self, client: Client, deadline: Deadline) -> Client:
        """Return the client for the next attempt, which may take as long as is left."""
        if deadline.within_s is None:
            return client  # the same as ever: making another takes a fifth of a millisecond
        timeout_s = deadline.bound(self.timeout_s, location=self.location)
        return client.options(request_timeout=timeout_s)

    def _checked(self, answer: Any, request: Request) -> Any:
        """Return an answer; raise what went wrong with a part of it, or what is no answer."""
        method, path, body, parts = request.method, request.path, request.body, request.parts
        check_answer(answer, method=method, path=path, body=body, parts=parts)
        if refused := refused_within(answer, self.location):
            raise refused
        return answer

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (ApiError, TransportError, WrongShapeError) as exc:
            raise translated(exc, self._reached) from exc

    def _make_async(self) -> AsyncElasticsearch:
        return AsyncElasticsearch(**self._options, node_class=AsyncNode)


class _Json(JsonSerializer):
    """Reads answers in a third of the time that the standard library takes."""

    def loads(self, data: bytes) -> Any:
        try:
            return read_json(data)
        except ValueError as exc:  # the client's own error would repeat all of it
            raise SerializationError(str(exc)) from exc


class _Text(TextSerializer):
    """Reads what no answer should be, to be shown in part."""

    def loads(self, data: bytes) -> str:
        return data[:_SHOWN].decode(errors="replace")


def _arguments(request: Request) -> dict[str, Any]:
    headers = {"accept": _MIME.format("json")}
    if request.body is not None:
        kind = "x-ndjson" if isinstance(request.body, bytes) else "json"
        headers["content-type"] = _MIME.format(kind)
    return {
        "method": request.method,
        "path": request.path,
        "params": request.params,
        "headers": headers,
        "body": request.body,
    }
