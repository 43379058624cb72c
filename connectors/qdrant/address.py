"""Where a Qdrant collection is, and the clients that reach it.

Knows nothing of what is asked of them.
"""

from __future__ import annotations

import logging
import math
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from qdrant_client import AsyncQdrantClient, QdrantClient

from retrieve_rerank.errors import ConfigError, IndexNotFoundError

logger = logging.getLogger(__name__)

REST_PORT = 6333
LOCAL = "qdrant+local"
_SCHEMES = {"qdrant": "http", "qdrant+https": "https"}
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """A collection on a server, or in a folder of the client's local mode."""

    collection: str
    url: str = ""
    """Of the server, http or https; empty in local mode."""
    folder: Path | None = None
    """Of the local mode."""
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
        if scheme == LOCAL:
            folder, _, collection = rest.rstrip("/").rpartition("/")
            _require(collection, f"{LOCAL}:///path/to/folder/collection")
            return cls(collection, folder=Path(folder or "/").expanduser().absolute())
        if scheme not in _SCHEMES:
            raise ConfigError(f"expected a URL that begins with qdrant://; got {scheme}://")
        parts = urlsplit(url)
        prefix, _, collection = unquote(parts.path).strip("/").rpartition("/")
        _require(collection and parts.hostname, f"{scheme}://host:{REST_PORT}/collection")
        key = api_key or password or username or parts.password or parts.username
        headers = {"api-key": unquote(key)} if key else {}
        if bearer_token:
            headers["authorization"] = f"Bearer {bearer_token}"
        if headers and scheme == "qdrant" and parts.hostname not in _HERE:
            logger.warning("the key goes to %s unencrypted; use qdrant+https://", parts.hostname)
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        try:
            port = parts.port or REST_PORT
        except ValueError as exc:
            raise ConfigError(f"the port of {scheme}://{host} is not a number") from exc
        server = f"{_SCHEMES[scheme]}://{host}:{port}{'/' if prefix else ''}{prefix}"
        return cls(
            collection, server, grpc=grpc, headers=headers, ca_certs=ca_certs and Path(ca_certs)
        )

    @property
    def location(self) -> str:
        """The URL again, free of secrets."""
        if self.folder is not None:
            return f"{LOCAL}://{self.folder}/{self.collection}"
        scheme, _, rest = self.url.partition("://")
        return f"qdrant{'+https' if scheme == 'https' else ''}://{rest}/{self.collection}"

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
            options["grpc_port"] = (urlsplit(self.url).port or REST_PORT) + 1
        if self.ca_certs is not None:
            try:
                options["verify"] = ssl.create_default_context(cafile=str(self.ca_certs))
                if self.grpc:
                    options["grpc_options"] = {"root_certificates": self.ca_certs.read_bytes()}
            except (OSError, ssl.SSLError) as exc:
                raise ConfigError(f"cannot read certificates from {self.ca_certs}: {exc}") from exc
        return options


def _require(there: object, expected: str) -> None:
    if not there:
        raise ConfigError(f"the URL names no collection; expected {expected}")
