"""Addresses of indexes and servers: read, written, and shown without their secrets.

The one parser and the one redaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple, Self
from urllib.parse import quote, unquote

from retrieve_rerank.errors import ConfigError

HIDDEN = "***"
"""What stands in place of a secret."""

_SHAPE = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)",
    re.DOTALL,
)
# `tei:http://`, `elasticsearch:/`, `//`: what comes before anything that could be a secret.
_BEGINNING = re.compile(r"(?:[A-Za-z][\w+.-]*:(?=https?:))?[A-Za-z][\w+.-]*:/*|//")
_FOLDER = re.compile(r"[.~]|/(?!/)|embedded://|[\w+.-]+\+local:///")
_HOST = re.compile(r"[a-z0-9._-]+")
_HOST_SHOWN = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
_OPTIONS_SHOWN = re.compile(r"(?:(?:model|dimensions|thinking)=[\w./:-]*(?:&|$))+")
_IN_A_TEXT = re.compile(r"""(?<=://)[^\s'"<>]+@""")
_UNQUOTED = ",*:+"  # several indexes in one address, and clusters' indexes, stay readable
_LONGEST = 500  # characters


class Host(NamedTuple):
    """A machine, and its port where one is named."""

    name: str
    """Without the brackets of an IPv6 address."""
    port: int | None = None

    @property
    def nearby(self) -> bool:
        """Whether it is this machine or one of the same network, by its address or its name.

        Names without a dot and those below .local (RFC 6762) and .internal (reserved by ICANN's
        board on 29 July 2024) are never public.
        """
        try:
            return ip_address(self.name).is_private
        except ValueError:
            return "." not in self.name or self.name.endswith((".local", ".internal"))

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Url:
    """`scheme://user:password@host:port,host/path`; its text, which can be read again, has no
    secrets."""

    scheme: str
    hosts: tuple[Host, ...] = ()
    path: tuple[str, ...] = ()
    """Decoded, between the slashes."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, *, expected: str) -> Self:
        """Read an address; raise ConfigError, which never repeats a secret, for any other text.

        `expected` is an example of an address that could stand there.
        """
        clean, username, password = split_credentials(text, expected=expected)
        found = _SHAPE.fullmatch(clean)
        if found is None or not clean.isprintable():
            raise _wrong(text, "is no address", expected)
        if found["rest"]:
            raise _wrong(
                text, "goes on after its path; options are settings of their own", expected
            )
        path = tuple(unquote(part) for part in found["path"].split("/") if part)
        if not all(part.isprintable() for part in path):
            raise _wrong(text, "has characters in its path that no name has", expected)
        hosts = tuple(_host(each, text, expected) for each in found["authority"].split(",") if each)
        return cls(found["scheme"].lower(), hosts, path, username, password)

    @property
    def public(self) -> Self:
        """The same without user and password."""
        return replace(self, username=None, password=None)

    @property
    def host(self) -> Host:
        """The first host; raises ConfigError where none is named."""
        if not self.hosts:
            raise ConfigError(f"{self} names no host; expected {self.scheme}://HOST{self._path}")
        return self.hosts[0]

    @property
    def _path(self) -> str:
        return "".join(f"/{quote(part, safe=_UNQUOTED)}" for part in self.path)

    def __str__(self) -> str:
        return f"{self.scheme}://{','.join(map(str, self.hosts))}{self._path}"


def split_credentials(text: str, *, expected: str) -> tuple[str, str | None, str | None]:
    """Return an address without user and password, and them, decoded; folders stay as they are.

    Raises ConfigError where an @ stands elsewhere than before a host, as after a password with
    a slash in it: where it ends cannot be told.
    """
    if "@" not in text or _FOLDER.match(text):
        return text, None, None
    found = _SHAPE.fullmatch(text)
    if found is None or "@" in found["path"] + found["rest"]:
        raise _wrong(
            text,
            "cannot be read: in a user or password write / ? # @ as %2F %3F %23 %40, and in a name"
            " @ as %40",
            expected,
        )
    user, _, hosts = found["authority"].rpartition("@")
    username, _, password = user.partition(":")
    clean = f"{found['scheme']}://{hosts}{found['path']}{found['rest']}"
    return clean, unquote(username) or None, unquote(password) or None


def redacted(text: str) -> str:
    """Return what may be shown of a text that is, or was to be, an address or a model's name.

    Everything before the last @ is hidden, whatever it looks like, and so are options, but those
    that name a model, and what stands in place of a port. Folders are shown as they are.
    """
    return text if _FOLDER.match(text) else _hidden(text)


def without_credentials(text: str) -> str:
    """Return a text of others, such as a server's error, without users and passwords of the
    addresses in it."""
    return _IN_A_TEXT.sub(f"{HIDDEN}@", text)


def _hidden(text: str) -> str:
    begun = _BEGINNING.match(text)
    beginning = begun[0] if begun else ""
    user, at, rest = text[len(beginning) :].rpartition("@")
    if not begun and not at:
        return text[:_LONGEST]
    if user:
        at = f"{HIDDEN}@"
    where, options = re.fullmatch(r"([^?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]  # matches any text
    if beginning.endswith("//"):
        hosts, slash, path = where.partition("/")
        where = ",".join(map(_shown_host, hosts.split(","))) + slash + path
    if options and not _OPTIONS_SHOWN.fullmatch(options[1:]):
        options = options[0] + HIDDEN
    return f"{beginning}{at}{where}{options}"[:_LONGEST]


def _wrong(text: str, why: str, expected: str) -> ConfigError:
    return ConfigError(f"{_hidden(text)} {why}; expected {expected}")


def _host(text: str, whole: str, expected: str) -> Host:
    found = re.fullmatch(r"(\[(?P<v6>[^\]]*)\]|(?P<name>[^:\[\]]*))(:(?P<port>[0-9]*))?", text)
    if found is None:
        raise _wrong(whole, "has a host or port that cannot be read", expected)
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 1 << 16:
        raise _wrong(whole, "has a port beyond 65535", expected)
    name = found["v6"] if found["name"] is None else found["name"].lower()
    try:
        # As it goes over the network: letters that only look like / or @ become them there.
        known = IPv6Address(name) if found["name"] is None else name.encode("idna").decode()
    except ValueError:
        raise _wrong(whole, "names a host that there cannot be", expected) from None
    if isinstance(known, str) and not _HOST.fullmatch(known):
        raise _wrong(
            whole, "names a host that there cannot be" if name else "names no host", expected
        )
    return Host(str(known) if isinstance(known, IPv6Address) else name, port)


def _shown_host(host: str) -> str:
    """A host as it may be shown: what follows its colon, if no number, may be half a password."""
    if _HOST_SHOWN.fullmatch(host.rpartition("@")[2]):
        return host
    return f"{host.partition(':')[0]}:{HIDDEN}"
