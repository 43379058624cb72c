"""Where a Qdrant collection is, and the clients that reach it."""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import httpx
from qdrant_client import AsyncQdrantClient, QdrantClient

from retrieve_rerank.connectors.qdrant.answers import with_scores
from retrieve_rerank.errors import ConfigError, IndexNotFoundError
from retrieve_rerank.network.addresses import Host, Url
from retrieve_rerank.network.answers import MAX_BYTES
from retrieve_rerank.network.proxies import proxy_for
from retrieve_rerank.network.transports import async_transport, sync_transport

logger = logging.getLogger(__name__)

REST_PORT = 6333
LOCAL = "qdrant+local"
_FIRST_RECONNECT_MS, _LAST_RECONNECT_MS = 100, 1000
# Between a channel's attempts to connect; its own go up to two minutes, within which every call
# fails though the server is there again.
_SCHEMES = {"qdrant": "http", "qdrant+https": "https"}
_HERE = ("localhost", "127.0.0.1", "::1")
_EXPECTED = f"qdrant://HOST:{REST_PORT}/COLLECTION"
_EXPECTED_LOCAL = f"{LOCAL}:///path/to/folder/COLLECTION"


def is_local(client: QdrantClient) -> bool:
    """Whether a client keeps its collections in this process, in memory or a folder."""
    return client.init_options["location"] == ":memory:" or client.init_options["path"] is not None


@dataclass(frozen=True, slots=True)
class Address:
    """A collection on a server, or in a folder of the client's local mode."""

    collection: str
    location: str
    """The URL again, free of secrets."""
    url: str = ""
    """Of the server, http or https; empty in local mode."""
    folder: Path | None = None
    """Of the local mode."""
    grpc: bool = False
    grpc_port: int = REST_PORT + 1
    compress: bool = False
    """Whether answers may come compressed."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """With the key or token in them."""
    ca_certs: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        bearer_token: str | None = None,
        ca_certs: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        grpc: bool = False,
        grpc_port: int | None = None,
        compress: bool | None = None,
    ) -> Self:
        """Read `qdrant://host:6333/collection`, `qdrant+https://…` or `qdrant+local:///folder/collection`.

        Qdrant has keys and no users: what stands before the @ of a URL is the key. Where not said,
        gRPC is at the port after that of the URL, and answers come compressed from hosts that are
        not nearby, where packing takes longer than sending. Raises ConfigError, which never repeats
        a secret.
        """
        scheme, _, rest = url.partition("://")
        if scheme == LOCAL and rest.startswith("/"):
            parent, _, collection = rest.rstrip("/").rpartition("/")
            if not collection:
                raise ConfigError(f"{url} names no collection; expected {_EXPECTED_LOCAL}")
            folder = Path(parent or "/").expanduser().absolute()
            return cls(collection, f"{LOCAL}://{folder}/{collection}", folder=folder)
        read = Url.parse(url, expected=_EXPECTED_LOCAL if scheme == LOCAL else _EXPECTED)
        if read.scheme not in _SCHEMES:
            raise ConfigError(
                f"{read} is no collection; expected {_EXPECTED}, or {_EXPECTED_LOCAL}"
            )
        if not read.path:
            raise ConfigError(f"{read} names no collection; expected {_EXPECTED}")
        if len(read.hosts) > 1:
            raise ConfigError(f"{read} names several hosts; expected {_EXPECTED}")
        host = Host(read.host.name, read.host.port or REST_PORT)
        key = api_key or password or username or read.password or read.username
        headers = {"api-key": key} if key else {}
        if bearer_token:
            headers["authorization"] = f"Bearer {bearer_token}"
        if headers and read.scheme == "qdrant" and host.name not in _HERE:
            logger.warning("the key goes to %s unencrypted; use qdrant+https://", host.name)
        return cls(
            read.path[-1],
            str(replace(read.public, hosts=(host,))),
            str(Url(_SCHEMES[read.scheme], (host,), read.path[:-1])),
            grpc=grpc,
            grpc_port=grpc_port or (host.port or REST_PORT) + 1,
            compress=not host.nearby if compress is None else compress,
            headers=headers,
            ca_certs=ca_certs and Path(ca_certs),
            client_cert=client_cert and Path(client_cert),
            client_key=client_key and Path(client_key),
        )

    def open(self, *, timeout_s: float) -> QdrantClient:
        """Make a client; it connects when first used, and opens a folder at once."""
        if self.folder is not None:
            # Several threads take turns, which SQLite would not believe.
            return QdrantClient(path=str(self.folder), force_disable_check_same_thread=True)
        client = QdrantClient(**self._options(timeout_s, sync_transport))
        client.http.client.add_middleware(lambda request, send: with_scores(send(request)))
        return client

    def open_async(self, *, timeout_s: float) -> AsyncQdrantClient:
        """Make an async client of a server."""
        client = AsyncQdrantClient(**self._options(timeout_s, async_transport))

        async def read(
            request: httpx.Request, send: Callable[[httpx.Request], Awaitable[httpx.Response]]
        ) -> httpx.Response:
            return with_scores(await send(request))

        client.http.client.add_middleware(read)
        return client

    def require_folder(self) -> None:
        """Raise IndexNotFoundError unless the folder is one of local mode: opening makes one."""
        if self.folder is not None and not (self.folder / "meta.json").is_file():
            raise IndexNotFoundError(f"there are no collections of Qdrant in {self.folder}")

    def _options(self, timeout_s: float, transport: Callable[..., Any]) -> dict[str, Any]:
        headers = dict(self.headers)
        channel: dict[str, Any] = {
            "grpc.max_receive_message_length": MAX_BYTES,
            "grpc.initial_reconnect_backoff_ms": _FIRST_RECONNECT_MS,
            "grpc.max_reconnect_backoff_ms": _LAST_RECONNECT_MS,
        }
        if not self.compress and self.grpc:
            channel["grpc.compression_enabled_algorithms_bitset"] = 1  # none but the identity
        elif not self.compress:
            headers["accept-encoding"] = "identity"
        options: dict[str, Any] = {
            "url": self.url,
            "headers": headers,
            "timeout": math.ceil(timeout_s),
            "check_compatibility": False,  # features are gated by the server's version instead
            "prefer_grpc": self.grpc,
            "grpc_port": self.grpc_port,
            "grpc_options": channel,
        }
        trusted: ssl.SSLContext | bool = True
        if self.ca_certs is not None or self.client_cert is not None:
            trusted = self._tls(channel)
        # Left to itself, gRPC reads the environment by rules of its own.
        proxy = proxy_for(self.url)
        channel |= {"grpc.http_proxy": proxy.url} if proxy else {"grpc.enable_http_proxy": 0}
        # As the client does, which has seen delays where connections of this machine are kept.
        kept = 0 if Url.parse(self.url, expected="").host.name in ("localhost", "127.0.0.1") else 20
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
        options["transport"] = transport(
            self.url, most_bytes=MAX_BYTES, limits=limits, verify=trusted
        )
        return options

    def _tls(self, channel: dict[str, Any]) -> ssl.SSLContext:
        """Read the certificates, for REST and into the options of a channel."""
        files = {
            "root_certificates": self.ca_certs,
            "certificate_chain": self.client_cert,
            "private_key": self.client_key or self.client_cert,
        }
        try:
            context = ssl.create_default_context(cafile=self.ca_certs)
            if self.client_cert is not None:
                context.load_cert_chain(self.client_cert, self.client_key)
            channel |= {name: file.read_bytes() for name, file in files.items() if file}
        except (OSError, ssl.SSLError) as exc:
            named = ", ".join(str(file) for file in dict.fromkeys(files.values()) if file)
            raise ConfigError(f"cannot read certificates from {named}: {exc}") from exc
        return context
