"""How requests reach a node of the server: as the client's own nodes send them, but through the
environment's proxy, sync as async, and so that no answer to another request is taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx
import urllib3
from elastic_transport import (
    ConnectionError,
    HttpHeaders,
    HttpxAsyncHttpNode,
    NodeConfig,
    Urllib3HttpNode,
)
from elastic_transport.client_utils import DEFAULT, DefaultType

from retrieve_rerank.network.answers import Unpacking, UnreadableError
from retrieve_rerank.network.proxies import Proxy, proxy_for
from retrieve_rerank.network.transports import (
    HEAD,
    NOT_THE_ANSWER,
    async_transport,
    is_of_another,
    new_id,
)

_CHUNK = 1 << 20  # bytes that are read at once

OPAQUE_ID = "X-Opaque-Id"
"""Header that the server sends back."""


class SyncNode(Urllib3HttpNode):
    """A node that threads ask."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self.pool: Any = _pool(config, self.base_url)

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> Any:
        """Send a request; an answer to another one closes all idle connections."""
        id_ = new_id()
        headers = HttpHeaders({**(headers or {}), OPAQUE_ID: id_})
        answer = super().perform_request(method, target, body, headers, request_timeout)
        another = is_of_another(id_, answer.meta.headers.get(OPAQUE_ID))
        if another or answer.body.startswith(HEAD):
            suspect, self.pool = self.pool, _pool(self.config, self.base_url)
            suspect.close()
            raise ConnectionError(NOT_THE_ANSWER)
        return answer


class AsyncNode(HttpxAsyncHttpNode):
    """A node that an event loop asks."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        limits = httpx.Limits(max_connections=config.connections_per_node)
        self.client = httpx.AsyncClient(
            base_url=self.base_url,
            timeout=config.request_timeout,
            transport=async_transport(
                self.base_url, header=OPAQUE_ID, limits=limits, verify=config.ssl_context or False
            ),
        )


class _Answer(NamedTuple):
    """What the client's own node looks at."""

    status: int
    headers: Any
    data: bytes


class _Pool:
    """The connections to a node, whose answers are unpacked here, up to a size."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def urlopen(self, method: str, target: str, **options: Any) -> _Answer:
        answer = self._inner.urlopen(method, target, preload_content=False, **options)
        unpacking, data = Unpacking(answer.headers.get("Content-Encoding")), []
        try:
            for chunk in answer.stream(_CHUNK, decode_content=False):
                data.append(unpacking.feed(chunk))
        except UnreadableError as exc:
            answer.close()
            raise urllib3.exceptions.DecodeError(str(exc)) from exc
        except BaseException:
            answer.close()
            raise
        return _Answer(answer.status, answer.headers, b"".join(data))

    def close(self) -> None:
        self._inner.close()


def _pool(config: NodeConfig, url: str) -> Any:
    """Make the connections to a node: those of the client's own, or such as go through a proxy."""
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(total=config.request_timeout),
        "maxsize": config.connections_per_node,
        "block": True,
    }
    context = config.ssl_context
    if context is not None:
        # A context that compares no names trusts one certificate alone.
        compared = None if context.check_hostname else False
        options |= {"ssl_context": context, "cert_reqs": "CERT_REQUIRED"}
        options |= {"assert_hostname": compared}
    if proxy := proxy_for(url):
        return _Pool(_ProxyPool(url, proxy, options))
    kind = urllib3.HTTPConnectionPool if context is None else urllib3.HTTPSConnectionPool
    return _Pool(kind(config.host, config.port, **options))


class _ProxyPool:
    """What a node needs of a pool, through a proxy."""

    def __init__(self, url: str, proxy: Proxy, options: dict[str, Any]) -> None:
        parts = urlsplit(url)
        self._root = f"{parts.scheme}://{parts.netloc}"
        user = urlsplit(proxy.url)
        secret = f"{unquote(user.username)}:{unquote(user.password or '')}" if user.username else ""
        headers = urllib3.make_headers(proxy_basic_auth=secret) if secret else None
        self._manager = urllib3.ProxyManager(proxy.url, proxy_headers=headers, **options)

    def urlopen(self, method: str, target: str, **options: Any) -> urllib3.BaseHTTPResponse:
        return self._manager.urlopen(method, f"{self._root}{target}", redirect=False, **options)

    def close(self) -> None:
        self._manager.clear()
