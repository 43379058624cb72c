"""Which proxy the environment sets for an address: the same for every client, sync and async.

Read from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case. What runs on this
machine is always reached directly.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.network.addresses import Url

_EXPECTED = "http://host:port"


class Proxy(NamedTuple):
    """A proxy, and what named it."""

    url: str
    """With the credentials in it, if it has any: not to be shown."""
    variable: str

    def __str__(self) -> str:
        return f"the proxy {Url.parse(self.url, expected=_EXPECTED)} ({self.variable})"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy between here and a URL; None where it is reached directly.

    Raises ConfigError for a proxy of another protocol than HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    kind = parts.scheme if parts.scheme in proxies else "all"
    if kind not in proxies or _is_here(host) or _is_excepted(host, parts.port, proxies):
        return None
    address = proxies[kind] if "://" in proxies[kind] else f"http://{proxies[kind]}"
    variable = f"{kind.upper()}_PROXY"
    try:
        read = Url.parse(address, expected=_EXPECTED)
    except ConfigError as exc:
        raise ConfigError(f"{variable}: {exc}") from None
    if read.scheme not in ("http", "https") or len(read.hosts) != 1:
        raise ConfigError(
            f"{variable} is {read}, which cannot be used to reach {host}; expected {_EXPECTED}, or "
            f"{host} in NO_PROXY"
        )
    return Proxy(address, variable)


def through(url: str) -> str:
    """Name the proxy between here and a URL, for what is said of errors; empty where is none."""
    proxy = proxy_for(url)
    return f" through {proxy}" if proxy else ""


def _is_here(host: str) -> bool:
    name = host.rstrip(".").lower()
    address = _address(name)
    return (
        name == "localhost" or name.endswith(".localhost") or bool(address and address.is_loopback)
    )


def _is_excepted(host: str, port: int | None, proxies: dict[str, str]) -> bool:
    """Tell whether NO_PROXY lists a host: by name, domain, address or network."""
    name = host if port is None else f"{host}:{port}"
    if proxy_bypass(name):
        return True
    address = _address(host)
    for each in proxies.get("no", "").split(",") if address else ():
        with suppress(ValueError):  # of names
            if address in ipaddress.ip_network(each.strip(), strict=False):
                return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    return None
