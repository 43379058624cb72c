"""The one way to the server: sends requests, repeats those that may be, translates what fails.

An operation is a generator that yields each request and is sent its answer; `run` and `arun`
drive it. Knows nothing of what requests mean.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import orjson
from elastic_transport import ApiError, TransportError
from elasticsearch import AsyncElasticsearch, Elasticsearch
from elasticsearch.serializer import JsonSerializer

from retrieve_rerank.connectors.elasticsearch.errors import may_pass, refused_within, translated
from retrieve_rerank.connectors.elasticsearch.nodes import AsyncNode, SyncNode
from retrieve_rerank.errors import (
    ConfigError,
    DeadlineExceededError,
    RateLimitedError,
    RetrieveRerankError,
)
from retrieve_rerank.per_loop import PerLoop
from retrieve_rerank.proxies import through

TIMEOUT_S = 30.0
"""For one request; the client's own 10 s are too short for bulk requests that build graphs."""

PATIENCE_S = 1.5
"""For which a search goes on trying; long enough to find another node."""

LONG_PATIENCE_S = 120.0
"""For which a scan or a bulk load goes on trying: a node restarts within it."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0

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


Work: TypeAlias = Callable[[], Any]
"""What takes long here: encoding a query, say, which an event loop leaves to a thread."""

Steps: TypeAlias = Generator[Request | Work, Any, T]
"""An operation: yields requests, is sent answers or has errors thrown in, returns its result."""


class Cluster:
    """A connection to a server or several nodes of one; safe to share between threads."""

    def __init__(
        self, options: Mapping[str, Any], *, location: str, timeout_s: float | None = None
    ) -> None:
        """Take the client's options; raise ConfigError for such as it cannot use."""
        self.location = location
        self.timeout_s = timeout_s or TIMEOUT_S
        self._options = {
            **options,
            "request_timeout": self.timeout_s,
            "max_retries": 0,
            "retry_on_timeout": False,
            "serializers": {JsonSerializer.mimetype: _Json()},
        }
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
        ends = _ends(timeout_s)
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Request):
                        answer = self._send(step, _Attempts(self, step, ends, patience_s))
                    else:
                        answer = step()
                except RetrieveRerankError as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def send(self, request: Request, *, patience_s: float = PATIENCE_S) -> Any:
        """Carry out an operation of one request; return the answer."""
        return self._send(request, _Attempts(self, request, None, patience_s))

    async def arun(
        self, steps: Steps[T], *, timeout_s: float | None = None, patience_s: float = PATIENCE_S
    ) -> T:
        """Async twin of `run`."""
        ends = _ends(timeout_s)
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Request):
                        answer = await self._send_in_loop(
                            step, _Attempts(self, step, ends, patience_s)
                        )
                    else:
                        answer = await asyncio.to_thread(step)
                except RetrieveRerankError as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def close(self) -> None:
        """Close the connections of all threads; those of a running event loop end with it."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of all threads."""
        await self._async_clients.aclose()
        self.close()

    def _send(self, request: Request, attempts: _Attempts) -> Any:
        while True:
            try:
                client = attempts.bounded(self._client)
                answer = client.perform_request(**_arguments(request)).body
            except (ApiError, TransportError) as exc:
                error = translated(exc, self._reached)
            else:
                refused = refused_within(answer, self.location)
                if refused is None:
                    return answer
                error = refused
            time.sleep(attempts.wait_s(error))

    async def _send_in_loop(self, request: Request, attempts: _Attempts) -> Any:
        held = await self._async_clients.get()
        while True:
            try:
                client = attempts.bounded(held)
                answer = (await client.perform_request(**_arguments(request))).body
            except (ApiError, TransportError) as exc:
                error = translated(exc, self._reached)
            else:
                refused = refused_within(answer, self.location)
                if refused is None:
                    return answer
                error = refused
            await asyncio.sleep(attempts.wait_s(error))

    def _make_async(self) -> AsyncElasticsearch:
        # httpx asks for compressed answers by itself, which cost more than they save on a network
        # of one's own: 131 ms instead of 16 for the tensors of 100 documents.
        return AsyncElasticsearch(
            **self._options, node_class=AsyncNode, headers={"accept-encoding": "identity"}
        )


class _Json(JsonSerializer):
    """Reads answers in a third of the time that the standard library takes."""

    def json_loads(self, data: bytes) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:  # half of a surrogate pair in a document, say
            return super().json_loads(data)


@dataclass(slots=True)
class _Attempts:
    """How often and how long one request is tried."""

    cluster: Cluster
    request: Request
    ends: float | None
    patience_s: float
    failed: int = 0
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    def bounded(self, client: Client) -> Client:
        """Return the client for the next attempt, which may take as long as is left."""
        if self.ends is None:
            return client  # the same as ever: making another takes a fifth of a millisecond
        left = self.ends - time.monotonic()
        if left <= 0:
            raise DeadlineExceededError(
                f"no answer from {self.cluster.location} within the time given"
            )
        return client.options(request_timeout=min(left, self.cluster.timeout_s))

    def wait_s(self, error: RetrieveRerankError) -> float:
        """Say how long to wait before trying again; raise the error where that is of no use."""
        self.failed += 1
        patient = self.patience_s >= LONG_PATIENCE_S
        again = may_pass(error) or (patient and isinstance(error, DeadlineExceededError))
        if not (again and self.request.safe):
            raise error
        if self.failed < self.cluster.nodes:
            return 0.0  # the next node at once
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (self.failed - self.cluster.nodes))
        wait = random.uniform(longest / 2, longest)
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            wait = max(wait, error.retry_after_s)
        now = time.monotonic()
        out_of_patience = now + wait - self.began > self.patience_s
        if out_of_patience or (self.ends is not None and now + wait >= self.ends):
            raise error
        return wait


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


def _ends(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s
