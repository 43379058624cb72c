"""JSON over HTTP: how every server of models is asked, from threads and from event loops."""

from __future__ import annotations

import asyncio
import json
import weakref
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from retrieve_rerank.concurrency.background_loop import clean_up, wait_for
from retrieve_rerank.concurrency.event_loops import PerLoop
from retrieve_rerank.errors import ConfigError, ModelError, RequestError
from retrieve_rerank.network.addresses import Url, redacted
from retrieve_rerank.network.answers import TooLargeError, pause_s, read_json, said
from retrieve_rerank.network.proxies import through
from retrieve_rerank.network.transports import async_transport

Request = tuple[str, Mapping[str, Any] | None]
"""Path and body; without a body it is a GET."""

ATTEMPTS = 4
CONCURRENT = 8
"""Requests under way at once from one call: servers batch what comes together."""
LONGEST_WAIT_S = 20.0
"""A server that asks for a longer pause is not waited for."""
MAX_ANSWER_BYTES = 64 << 20
"""Ten times what 96 vectors of 4,096 numbers take as JSON."""

_EXPECTED = "http://HOST:PORT/PATH"
_CONNECT_S = 10.0  # a connection that takes longer counts as broken
_JITTER = wait_random_exponential(multiplier=0.5, max=8)  # seconds
_REFUSED = (400, 413, 422)  # for what stands in the request, or for its length
# Searches that wait for a server must not wait for one another as well.
_UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=100)


class JsonServer:
    """A server that answers in JSON; one may be shared by many threads and event loops.

    Requests that meet 429, 5xx or a broken connection are sent again, at most ATTEMPTS times in
    all. Every failure is a ModelError: a RequestError where other requests may go well.
    """

    def __init__(
        self,
        base: Url,
        *,
        name: str,
        key: str | None,
        key_variable: str,
        url_variable: str | None,
        timeout_s: float,
    ) -> None:
        """`name` is what errors call it; the variables are what they say can be set.

        `key` is sent as a bearer token. `timeout_s` is for one attempt, from connecting to the
        end of the answer. Credentials in `base`, which `read_url` reads, are used, and never shown.
        """
        if key and not (key.isascii() and key.isprintable()):
            raise ModelError(f"{key_variable} holds characters that no key has")
        self.url = str(base)
        self._name = name
        self._key_variable = key_variable
        self._url_variable = url_variable
        self._timeout_s = timeout_s
        self._secrets = _secrets(base, key)
        self._through = _through(self.url)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if base.host.nearby:  # packing vectors pays on slow lines alone, docs/benchmarks/speed.md
            headers["Accept-Encoding"] = "identity"
        options: dict[str, Any] = {
            "auth": (base.username or "", base.password or "") if _has_user(base) else None,
            "headers": headers,
            # httpx bounds each read and write, which a server that drips never exceeds.
            "timeout": httpx.Timeout(None, connect=_CONNECT_S),
        }
        make_transport = partial(
            async_transport, self.url, most_bytes=MAX_ANSWER_BYTES, limits=_UNLIMITED
        )
        self._clients = PerLoop(
            lambda: httpx.AsyncClient(**options, transport=make_transport()),
            httpx.AsyncClient.aclose,
        )
        # At the end of the process connections close by themselves.
        weakref.finalize(self, clean_up, self._clients.aclose).atexit = False

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send until there is an answer; return its JSON. Without a body it is a GET."""
        return wait_for(self.aask(path, body))

    def ask_all(self, requests: Sequence[Request]) -> list[Any]:
        """Ask all, CONCURRENT at once; return the answers in order, or raise the first failure."""
        return wait_for(self._aask_all(requests))

    async def aask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Async twin of `ask`."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_retrying),
            wait=_pause,
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        return await retrying(self._send, f"{self.url}/{path}" if path else self.url, body)

    async def aclose(self) -> None:
        """Close the connections of this event loop; else they close with it."""
        await self._clients.aclose()

    async def _aask_all(self, requests: Sequence[Request]) -> list[Any]:
        room = asyncio.Semaphore(CONCURRENT)

        async def ask(path: str, body: Mapping[str, Any] | None) -> Any:
            async with room:
                return await self.aask(path, body)

        asking = [asyncio.create_task(ask(*request)) for request in requests]
        try:
            return await asyncio.gather(*asking)
        finally:
            for task in asking:  # those that are left after one has failed
                task.cancel()

    async def _send(self, url: str, body: Mapping[str, Any] | None) -> Any:
        client = await self._clients.get()
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await client.request(**_request(url, body))
        except (httpx.HTTPError, TimeoutError) as exc:
            raise self._failure(exc, url) from exc
        return self._read(response)

    def _failure(self, exc: Exception, url: str) -> ModelError:
        if isinstance(exc.__cause__, TooLargeError):
            return RequestError(
                f"{self._name} at {url}{self._through} answers with more than"
                f" {MAX_ANSWER_BYTES:,} bytes; check the URL, or ask for less at once"
            )
        if isinstance(exc, (httpx.ConnectTimeout, httpx.NetworkError, httpx.RemoteProtocolError)):
            return _UnavailableError(
                f"{self._name} cannot be reached at {url}{self._through} ({self._clean(exc)});"
                f" is the server running, and {self._url_variable or 'the URL'} right?"
            )
        if isinstance(exc, TimeoutError):
            return ModelError(
                f"{self._name} gave no answer{self._through} within {self._timeout_s:g} s"
            )
        return ModelError(f"asking {self._name} at {url}{self._through} failed: {self._clean(exc)}")

    def _read(self, response: httpx.Response) -> Any:
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return read_json(response.content)
        except ValueError as exc:
            raise RequestError(
                f"{self._name} answered something else than JSON at {response.url}"
                f"{self._through}: {self._clean(exc)}; check the URL"
            ) from exc

    def _refusal(self, response: httpx.Response) -> ModelError:
        status = response.status_code
        words = self._clean(_words(response.content))
        message = f"{self._name} at {response.url}{self._through} answered {status}: {words}"
        if status in (401, 403):
            return ModelError(f"{message}; set {self._key_variable} to a key that it accepts")
        if status == 404:
            return ModelError(f"{message}; check the name of the model, and the URL")
        if status == 500:
            return _CrashedError(message)
        if status == 429 or status > 500:
            asked_s = pause_s(response.headers.get("Retry-After"))
            asks = f"; it asks for a pause of {asked_s:.0f} s" if asked_s else ""
            return _UnavailableError(f"{message}{asks}", retry_after_s=asked_s)
        return (RequestError if status in _REFUSED else ModelError)(message)

    def _clean(self, words: object) -> str:
        return said(words, secrets=self._secrets)


def _through(url: str) -> str:
    try:
        return through(url)
    except ConfigError as exc:
        raise ModelError(str(exc)) from exc


def read_url(url: str, *, where: str) -> Url:
    """Read a server's base URL; `where` is what the ModelError for any other calls it."""
    try:
        read = Url.parse(url, expected=_EXPECTED)
        httpx.URL(str(read))
    except (ConfigError, httpx.InvalidURL) as exc:
        said = exc if isinstance(exc, ConfigError) else f"{redacted(url)} is no URL: {exc}"
        raise ModelError(f"{where}: {said}") from None
    if read.scheme not in ("http", "https") or len(read.hosts) != 1:
        raise ModelError(f"{where}: {read} is no server's URL; expected {_EXPECTED}")
    return read


class _UnavailableError(ModelError):
    """The server cannot answer now."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _CrashedError(_UnavailableError, RequestError):
    """The server failed, over this request perhaps alone."""


def _has_user(base: Url) -> bool:
    return base != base.public


def _secrets(base: Url, key: str | None) -> list[str]:
    """List what no error may show, the longest first: one may be a part of another."""
    basic = b64encode(f"{base.username or ''}:{base.password or ''}".encode()).decode()
    secrets = {key, base.password or base.username, basic if _has_user(base) else None}
    return sorted((secret for secret in secrets if secret), key=len, reverse=True)


def _request(url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    if body is None:
        return {"method": "GET", "url": url}
    # Half a surrogate pair, in a text from who knows where, is nothing that UTF-8 could write.
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    headers = {"Content-Type": "application/json"}
    return {"method": "POST", "url": url, "content": content, "headers": headers}


def _worth_retrying(exc: BaseException) -> bool:
    return isinstance(exc, _UnavailableError) and (exc.retry_after_s or 0) <= LONGEST_WAIT_S


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: as the server asks, spread a little, else at random."""
    exc = state.outcome.exception() if state.outcome else None
    asked = exc.retry_after_s if isinstance(exc, _UnavailableError) else None
    return (asked or 0.0) + _JITTER(state)


def _words(content: bytes) -> object:
    """Find what a server says of an error: {"error": …}, {"error": {"message": …}}, …"""
    try:
        found = read_json(content)
    except ValueError:
        return content[:10_000].decode(errors="replace")
    while isinstance(found, dict):
        found = next((found[key] for key in ("error", "message", "detail") if key in found), "")
    return found if isinstance(found, str) else json.dumps(found)[:10_000]
