"""Where an index is and what opens it: URL and credentials, checked.

Knows nothing of requests. Nothing here ever shows a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from retrieve_rerank.connectors.elasticsearch.tls import pinned_context
from retrieve_rerank.errors import ConfigError

PORT = 9200


@dataclass(frozen=True, slots=True)
class Address:
    """An index and the nodes that serve it."""

    index: str
    hosts: tuple[str, ...]
    """`http://host:port/prefix` each; empty where a cloud id says it."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read elasticsearch://host:9200/index or elasticsearch+https://…, with commas between
        several hosts; raise ConfigError."""
        parts = urlsplit(url)
        user, _, netloc = parts.netloc.rpartition("@")
        shown = f"{parts.scheme}://{netloc}{parts.path}"
        *prefix, index = parts.path.lstrip("/").split("/")
        if not index:
            raise ConfigError(f"{shown} names no index; expected elasticsearch://host:{PORT}/INDEX")
        if parts.query or parts.fragment:
            raise ConfigError(f"{shown} must end with the index; put options into rr.toml")
        protocol = "https" if parts.scheme.endswith("+https") else "http"
        path = "".join(f"/{part}" for part in prefix)
        username, _, password = user.partition(":")
        return cls(
            unquote(index),
            tuple(_host(each, protocol, path, shown) for each in netloc.split(",") if each),
            unquote(username) or None,
            unquote(password) or None,
        )

    @property
    def location(self) -> str:
        """The URL again, without credentials."""
        if not self.hosts:
            return f"elasticsearch:///{quote(self.index)}"
        first = urlsplit(self.hosts[0])
        scheme = "elasticsearch" + ("+https" if first.scheme == "https" else "")
        nodes = ",".join(urlsplit(host).netloc for host in self.hosts)
        return f"{scheme}://{nodes}{first.path}/{quote(self.index)}"


def client_options(
    address: Address,
    *,
    username: str | None = None,
    password: str | None = None,
    api_key: str | None = None,
    bearer_token: str | None = None,
    cloud_id: str | None = None,
    ca_certs: Path | None = None,
    fingerprint: str | None = None,
) -> Mapping[str, Any]:
    """Word all of it as the client's constructor takes it; raise ConfigError.

    A fingerprint is looked up at the server, whose certificate is trusted from then on.
    """
    options: dict[str, Any] = _authentication(
        username or address.username, password or address.password, api_key, bearer_token
    )
    if cloud_id is not None:
        if address.hosts:
            raise ConfigError(
                f"cloud_id and {address.location} name two servers; leave the host out: "
                f"elasticsearch:///{address.index}"
            )
        options["cloud_id"] = cloud_id
    elif not address.hosts:
        raise ConfigError(f"{address.location} names no host, and no cloud_id is set")
    else:
        options["hosts"] = list(address.hosts)
    encrypted = cloud_id is not None or address.hosts[0].startswith("https")
    if (ca_certs or fingerprint) and not encrypted:
        raise ConfigError(
            f"{address.location} is not encrypted, so that ca_certs and fingerprint prove "
            "nothing; expected elasticsearch+https://"
        )
    if ca_certs and fingerprint:
        raise ConfigError("give either ca_certs or fingerprint; each says alone whom to trust")
    if ca_certs:
        if not ca_certs.is_file():
            raise ConfigError(f"ca_certs is {ca_certs}, which is not a file")
        options["ca_certs"] = str(ca_certs)
    if fingerprint:
        if not address.hosts:
            raise ConfigError("a fingerprint needs a host; a cloud's certificates are public")
        first = urlsplit(address.hosts[0])
        options["ssl_context"] = pinned_context(
            first.hostname or "", first.port or PORT, fingerprint
        )
        options["ssl_assert_fingerprint"] = fingerprint
    return options


def _authentication(
    username: str | None, password: str | None, api_key: str | None, bearer_token: str | None
) -> dict[str, Any]:
    # The most particular is what was meant: an API key set for an index whose URL names a user.
    if api_key and bearer_token:
        raise ConfigError("give either api_key or bearer_token")
    if api_key:
        return {"api_key": api_key}
    if bearer_token:
        return {"bearer_auth": bearer_token}
    if bool(username) != bool(password):
        raise ConfigError("a user and a password go together; only one of them is set")
    return {"basic_auth": (username, password)} if username else {}


def _host(text: str, protocol: str, path: str, shown: str) -> str:
    try:
        parts = urlsplit(f"{protocol}://{text}")
        port = parts.port or PORT
    except ValueError as exc:
        raise ConfigError(f"{shown}: {exc}; expected host:port") from exc
    if not parts.hostname:
        raise ConfigError(f"{shown} names no host; expected elasticsearch://host:{PORT}/INDEX")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{protocol}://{name}:{port}{path}"
