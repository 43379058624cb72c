"""Where an index is and what opens it: URL and credentials, checked.

Nothing here ever shows a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retrieve_rerank.connectors.elasticsearch.tls import pinned_context, trusting_context
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.network.addresses import Host, Url
from retrieve_rerank.network.proxies import proxy_for

PORT = 9200

_EXPECTED = f"elasticsearch://HOST:{PORT}/INDEX"
_HTTPS = "+https"


@dataclass(frozen=True, slots=True)
class Address:
    """An index and the nodes that serve it."""

    index: str
    """A name, an alias, or several: `one,two`, `logs-*`."""
    hosts: tuple[str, ...]
    """`http://host:port/prefix` each; empty where a cloud id says it."""
    location: str
    """The URL again, without credentials."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read elasticsearch://host:9200/index or elasticsearch+https://…, with commas between
        several hosts; raise ConfigError."""
        read = Url.parse(url, expected=_EXPECTED)
        if not read.path:
            raise ConfigError(f"{read} names no index; expected {_EXPECTED}")
        protocol = "https" if read.scheme.endswith(_HTTPS) else "http"
        nodes = tuple(Host(host.name, host.port or PORT) for host in read.hosts)
        prefix = read.path[:-1]
        return cls(
            read.path[-1],
            tuple(str(Url(protocol, (node,), prefix)) for node in nodes),
            str(replace(read.public, hosts=nodes)),
            read.username,
            read.password,
        )


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
    compress: bool = False,
) -> Mapping[str, Any]:
    """Word all of it as the client's constructor takes it; raise ConfigError.

    Answers come as they are unless `compress` says otherwise: it pays on slow lines alone,
    docs/benchmarks/speed.md.
    A fingerprint is looked up at the server, whose certificate is trusted from then on.
    """
    options: dict[str, Any] = _authentication(
        username or address.username, password or address.password, api_key, bearer_token
    )
    if compress:
        options["headers"] = {"accept-encoding": "gzip"}
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
    if ca_certs and not ca_certs.is_file():
        raise ConfigError(f"ca_certs is {ca_certs}, which is not a file")
    if fingerprint:
        if not address.hosts:
            raise ConfigError("a fingerprint needs a host; a cloud's certificates are public")
        if proxy := proxy_for(address.hosts[0]):
            raise ConfigError(
                f"a fingerprint cannot be looked up through {proxy}; give ca_certs instead"
            )
        first = Url.parse(address.hosts[0], expected=_EXPECTED).host
        options["ssl_context"] = pinned_context(first.name, first.port or PORT, fingerprint)
    elif encrypted:
        options["ssl_context"] = trusting_context(ca_certs)
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
