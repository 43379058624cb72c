"""Where a Qdrant collection is, and the clients that reach it.

Knows nothing of what is asked of them.
"""

from __future__ import annotations

import logging
import math
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from qdrant_client import AsyncQdrantClient, QdrantClient

from retrieve_rerank.addresses import Host, Url
from retrieve_rerank.errors import ConfigError, IndexNotFoundError

logger = logging.getLogger(__name__)

REST_PORT = 6333
LOCAL = "qdrant+local"
_SCHEMES = {"qdrant": "http", "qdrant+https": "https"}
_HERE = ("localhost", "127.0.0.1", "::1")
_EXPECTED = f"qdrant://HOST:{REST_PORT}/COLLECTION"
_EXPECTED_LOCAL = f"{LOCAL}:///path/to/folder/COLLECTION"


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
    port: int = REST_PORT
    grpc: bool = False
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """With the key or token in them."""
    ca_certs: Path | None = None

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
        grpc: bool = False,
    ) -> Self:
        """Read `qdrant://host:6333/collection`, `qdrant+https://…` or `qdrant+local:///folder/collection`.

        Qdrant has keys and no users: what stands before the @ of a URL is the key. Raises
        ConfigError, which never repeats a secret.
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
            port=host.port or REST_PORT,
            grpc=grpc,
            headers=headers,
            ca_certs=ca_certs and Path(ca_certs),
        )

    def open(self, *, timeout_s: float) -> QdrantClient:
        """Make a client; it connects when first used, and opens a folder at once."""
        if self.folder is not None:
            # Several threads take turns, which SQLite would not believe.
            return QdrantClient(path=str(self.folder), force_disable_check_same_thread=True)
        return QdrantClient(**self._options(timeout_s))

    def open_async(self, *, timeout_s: float) -> AsyncQdrantClient:
        """Make an async client of a server."""
        return AsyncQdrantClient(**self._options(timeout_s))

    def require_folder(self) -> None:
        """Raise IndexNotFoundError unless the folder is one of local mode: opening makes one."""
        if self.folder is not None and not (self.folder / "meta.json").is_file():
            raise IndexNotFoundError(f"there are no collections of Qdrant in {self.folder}")

    def _options(self, timeout_s: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "url": self.url,
            "headers": dict(self.headers),
            "timeout": math.ceil(timeout_s),
            "check_compatibility": False,  # features are gated by the server's version instead
            "prefer_grpc": self.grpc,
        }
        if self.grpc:
            options["grpc_port"] = self.port + 1
        if self.ca_certs is not None:
            try:
                options["verify"] = ssl.create_default_context(cafile=str(self.ca_certs))
                if self.grpc:
                    options["grpc_options"] = {"root_certificates": self.ca_certs.read_bytes()}
            except (OSError, ssl.SSLError) as exc:
                raise ConfigError(f"cannot read certificates from {self.ca_certs}: {exc}") from exc
        return options
