"""Who may ask: keys, how often each may, and which documents it sees."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from retrieve_rerank.base import Filter
from retrieve_rerank.connectors.filters import field_names
from retrieve_rerank.data.lines import read_settings_text
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.server.filters import read_filter
from retrieve_rerank.server.refusals import Refusal
from retrieve_rerank.settings.serving import ServerSettings

LEAST_CHARACTERS = 16
"""Of a key: fewer could be guessed."""

_MINUTE_S = 60.0
_SHA256 = r"[0-9a-f]{64}"

logger = logging.getLogger(__name__)


class KeySettings(BaseModel):
    """One table of the file of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: SecretStr | None = None
    sha256: StrictStr | None = Field(default=None, pattern=f"^{_SHA256}$")
    """Of the key, in hexadecimal, so that the file holds no secret."""
    quota: PositiveInt | None = None
    """Requests a minute."""
    filter: dict[str, Any] | None = None
    """What every document must be that this key sees."""

    @field_validator("key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < LEAST_CHARACTERS:
            raise ValueError(f"expected at least {LEAST_CHARACTERS} characters")
        return key

    @model_validator(mode="after")
    def _one_of_both(self) -> KeySettings:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("expected key or sha256")
        return self


@dataclass(eq=False, slots=True)
class Key:
    """One that may ask; its secret is known by its digest alone."""

    name: str
    digest: bytes
    quota: int | None = None
    """Requests a minute."""
    filter: Filter | None = None
    _left: float = field(default=0.0, init=False)
    _since: float = field(default=-_MINUTE_S, init=False)

    def count(self) -> None:
        """Count a request; raise Refusal where there have been too many.

        The quota refills evenly, so that what was not used for a while can come at once.
        """
        if self.quota is None:
            return
        now, each_s = time.monotonic(), _MINUTE_S / self.quota
        self._left = min(float(self.quota), self._left + (now - self._since) / each_s)
        self._since = now
        if self._left < 1:
            wait_s = (1 - self._left) * each_s
            raise Refusal(429, f"more than {self.quota} requests a minute", retry_after_s=wait_s)
        self._left -= 1

    def seen(self, wanted: Filter | None) -> Filter | None:
        """Return a filter that finds no document but those that this key may see."""
        if self.filter is None:
            return wanted
        return self.filter if not wanted else {"and": [self.filter, wanted]}


ANYBODY = Key("", b"")
"""Who asks where there are no keys."""


class Keys:
    """The keys in force; `refresh` reads their file again."""

    def __init__(self, settings: ServerSettings) -> None:
        """Raise ConfigError for what is no file of keys, and where keys are needed and missing."""
        self._settings = settings
        self._read_at: object = None
        self._keys = self._read()
        if not self._keys and not loopback(settings.host):
            raise ConfigError(
                f"host {settings.host} can be reached from other machines, so that keys are "
                "needed: set keys to a file of them in [server], or RR_SERVER__KEY to one"
            )

    @property
    def needed(self) -> bool:
        """Whether requests must bring a key."""
        return bool(self._keys)

    def find(self, header: str | None) -> Key:
        """Return the key that an Authorization header brings; raise Refusal where it has none."""
        if not self._keys:
            return ANYBODY
        scheme, _, secret = (header or "").partition(" ")
        digest = _digest(secret.strip())
        # All are compared, in constant time: how long it takes tells nothing of any.
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Refusal(401, "expected the header Authorization: Bearer KEY with a valid key")
        return found[0]

    def refresh(self) -> None:
        """Take over a file of keys that has changed; one that cannot be read changes nothing."""
        if self._settings.keys is None or _state(self._settings.keys) == self._read_at:
            return
        try:
            known = {(key.name, key.digest): key for key in self._keys}
            self._keys = [_continued(key, known) for key in self._read()]
        except ConfigError as exc:
            logger.error("the keys stay as they are: %s", exc)
        else:
            logger.info("%d keys are in force", len(self._keys))

    def _read(self) -> Sequence[Key]:
        given = self._settings.key.get_secret_value() if self._settings.key else ""
        keys = []
        for number, secret in enumerate(filter(None, map(str.strip, given.split(","))), start=1):
            if len(secret) < LEAST_CHARACTERS:
                raise ConfigError(f"server.key: expected at least {LEAST_CHARACTERS} characters")
            keys.append(Key(f"key-{number}", _digest(secret)))
        if self._settings.keys is not None:
            self._read_at = _state(self._settings.keys)
            keys += _keys_in(self._settings.keys)
        names: dict[bytes, str] = {}
        for key in keys:
            if (other := names.setdefault(key.digest, key.name)) != key.name:
                raise ConfigError(
                    f"{other} and {key.name} are the same key, so that nobody can tell whose filter"
                    " and quota hold: give each a key of its own"
                )
        return keys


def _keys_in(file: Path) -> list[Key]:
    try:
        tables = tomllib.loads(read_settings_text(file))
    except (OSError, ValueError, RecursionError) as exc:
        raise ConfigError(f"cannot read the keys in {file}: {exc}") from exc
    if not tables:
        raise ConfigError(f"{file} holds no key; expected tables such as [alice] with key = …")
    return [_key(name, table, file) for name, table in tables.items()]


def _key(name: str, table: Any, file: Path) -> Key:
    try:
        read = KeySettings.model_validate(table)
        filter = None if read.filter is None else read_filter(read.filter)
        if filter is not None and not field_names(filter):
            raise InputError("filter: expected a field and its value")
    except ValidationError as exc:
        wrong = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (name, *wrong["loc"])))
        raise ConfigError(f"{file}: {where}: {wrong['msg']}") from None  # it may hold the key
    except InputError as exc:
        raise ConfigError(f"{file}: {name}: {exc}") from exc
    secret = read.key.get_secret_value() if read.key else ""
    digest = bytes.fromhex(read.sha256) if read.sha256 else _digest(secret)
    return Key(name, digest, read.quota, filter)


def _continued(key: Key, known: Mapping[tuple[str, bytes], Key]) -> Key:
    """Keep how much of its quota a key has used, where nothing else of it has changed."""
    before = known.get((key.name, key.digest))
    same = before is not None and (before.quota, before.filter) == (key.quota, key.filter)
    return before if before is not None and same else key


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _state(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def loopback(host: str) -> bool:
    """Whether a host is this machine, and nobody else's."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
