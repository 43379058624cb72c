"""How httpx sends: through the environment's proxy, and so that an answer is to what was asked.

A proxy that sends an answer twice leaves one too many in a connection, and every request after it
would be given the answer to the one before. Therefore each request has an id, which must not come
back as another one of ours; and as most services send none back, a connection must not give the
very same bytes, headers and all, to two different requests either. What fails so is closed, and is
an httpx.RemoteProtocolError, to be tried again like any other broken connection. An answer that a
service gives to two requests alike is believed then, as it comes through another connection.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import httpx

from retrieve_rerank.network.answers import MAX_BYTES, Unpacking, UnreadableError
from retrieve_rerank.network.proxies import proxy_for

REQUEST_ID = "X-Request-Id"
"""Header of the id; vLLM and most gateways send it back."""

NOT_THE_ANSWER = (
    "the answer belongs to another request: does a proxy on the way send answers twice, or mix "
    "them up?"
)

HEAD = b"HTTP/1."
"""What the body of an answer never begins with, but the head of another."""

_MOST_DOUBTED = 1024
"""Answers that are waited for to come again."""

_numbers = count(1)  # which threads may share, unlike a generator
_OURS = re.compile(r"rr-[0-9a-f]{16}-\d+")


def new_id() -> str:
    """Make an id for a request, which no other has."""
    return f"rr-{secrets.token_hex(8)}-{next(_numbers)}"


def is_of_another(sent: str, received: str | None) -> bool:
    """Tell whether an answer's id is that of another request of this library."""
    return received is not None and received != sent and bool(_OURS.fullmatch(received))


def sync_transport(
    url: str, *, header: str = REQUEST_ID, most_bytes: int = MAX_BYTES, **options: Any
) -> httpx.BaseTransport:
    """Make what sends to a URL; the options are HTTPTransport's.

    An answer that unpacks to more than `most_bytes`, or cannot be unpacked, is an
    httpx.DecodingError, whose cause is an UnreadableError.
    """
    inner = httpx.HTTPTransport(proxy=_proxy(url), **options)
    return _Transport(inner, _Ties(header, most_bytes))


def async_transport(
    url: str, *, header: str = REQUEST_ID, most_bytes: int = MAX_BYTES, **options: Any
) -> httpx.AsyncBaseTransport:
    """Async twin of `sync_transport`."""
    inner = httpx.AsyncHTTPTransport(proxy=_proxy(url), **options)
    return _AsyncTransport(inner, _Ties(header, most_bytes))


def _proxy(url: str) -> str | None:
    proxy = proxy_for(url)
    return proxy.url if proxy else None


class _Exchange(NamedTuple):
    """A request and its answer, as short as can be."""

    asked: bytes
    answered: bytes


class _Ties:
    """What the last answer of each connection was."""

    def __init__(self, header: str, most_bytes: int) -> None:
        self._header = header
        self.most_bytes = most_bytes
        self._last: WeakKeyDictionary[Any, _Exchange] = WeakKeyDictionary()
        self._doubted: dict[_Exchange, None] = {}

    def begin(self, request: httpx.Request) -> None:
        """Give a request its id."""
        request.headers[self._header] = new_id()
        if request.headers.get("Accept-Encoding") != "identity":
            request.headers["Accept-Encoding"] = "gzip"  # which is unpacked here, and measured

    def fits(self, request: httpx.Request, response: httpx.Response) -> bool:
        """Tell whether an answer's head may be that to a request."""
        return not is_of_another(request.headers[self._header], response.headers.get(self._header))

    def is_new(self, exchange: _Exchange, connection: Any) -> bool:
        """Tell whether a whole answer is another than the connection's last, if it should be.

        What was doubted and comes again, through another connection, is the service's own.
        """
        last = self._last.get(connection)
        self._last[connection] = exchange
        if last is None or last.answered != exchange.answered or last.asked == exchange.asked:
            return True
        if exchange in self._doubted:
            del self._doubted[exchange]
            return True
        self._doubted[exchange] = None
        if len(self._doubted) > _MOST_DOUBTED:
            del self._doubted[next(iter(self._doubted))]
        return False


class _Transport(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport, ties: _Ties) -> None:
        self._inner = inner
        self._ties = ties

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._ties.begin(request)
        response = self._inner.handle_request(request)
        if not self._ties.fits(request, response):
            response.extensions["network_stream"].close()
            response.close()
            raise httpx.RemoteProtocolError(NOT_THE_ANSWER, request=request)
        response.stream = _Stream(request, response, self._ties)
        return response

    def close(self) -> None:
        self._inner.close()


class _AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, ties: _Ties) -> None:
        self._inner = inner
        self._ties = ties

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._ties.begin(request)
        response = await self._inner.handle_async_request(request)
        if not self._ties.fits(request, response):
            await response.extensions["network_stream"].aclose()
            await response.aclose()
            raise httpx.RemoteProtocolError(NOT_THE_ANSWER, request=request)
        response.stream = _AsyncStream(request, response, self._ties)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Read:
    """An answer while it is read."""

    def __init__(self, request: httpx.Request, response: httpx.Response, ties: _Ties) -> None:
        self.request = request
        self.connection = response.extensions["network_stream"]
        self.stream: Any = response.stream
        self.ties = ties
        self.digest = hashlib.blake2b(repr(response.headers.raw).encode())
        self.begins = b""
        # Taken out, as what reads the answer would unpack it without end.
        encoding = response.headers.pop("Content-Encoding", None)
        self.unpacking = Unpacking(encoding, limit=ties.most_bytes)

    def take(self, chunk: bytes) -> bytes:
        """Take in a piece of the body; return it unpacked."""
        self.digest.update(chunk)
        if len(self.begins) < len(HEAD):
            self.begins = (self.begins + chunk)[: len(HEAD)]
        try:
            return self.unpacking.feed(chunk)
        except UnreadableError as exc:
            raise httpx.DecodingError(str(exc), request=self.request) from exc

    def is_believed(self) -> bool:
        """Tell, at the end, whether it can be the answer to the request."""
        if self.begins == HEAD:  # sent twice, of an answer that came in two pieces
            return False
        request = self.request
        asked = hashlib.blake2b(f"{request.method} {request.url}\n".encode() + request.content)
        exchange = _Exchange(asked.digest(), self.digest.digest())
        return self.ties.is_new(exchange, self.connection)

    def error(self) -> httpx.RemoteProtocolError:
        return httpx.RemoteProtocolError(NOT_THE_ANSWER, request=self.request)


class _Stream(_Read, httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.stream:
            yield self.take(chunk)
        if not self.is_believed():
            self.connection.close()
            raise self.error()

    def close(self) -> None:
        self.stream.close()


class _AsyncStream(_Read, httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream:
            yield self.take(chunk)
        if not self.is_believed():
            await self.connection.aclose()
            raise self.error()

    async def aclose(self) -> None:
        await self.stream.aclose()
