"""Names of indexes: which stand for one by themselves, and what ours beside others are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

SIDECAR_PREFIX = "rr-tensors-"

_LONGEST_BYTES = 255  # of a name; a longer one is refused
_UNREADABLE = re.compile(r"[^a-z0-9.]+")


def is_plain(name: str) -> bool:
    """Tell whether it is the name of an index, an alias or a data stream.

    A list, a pattern, an exclusion, `_all`, date math or another cluster's index is not: what it
    stands for is the server's to say, and may be several or, a moment later, others.
    """
    return not name.startswith(("-", "_", "+", "<")) and not set(name) & set(",*:")


def sidecar_name(address: str, indexes: Collection[str]) -> str:
    """Name the index for the token tensors of what an address stands for.

    For one index it is made from the address, so that an alias that moves to the next version of
    an index keeps its tensors; a pattern that stands for one index shares that index's. For
    several it has an underscore, with which no index's name begins: keys there are others.
    """
    several = len(indexes) > 1
    [name] = [address] if several or is_plain(address) else indexes
    plain = f"{SIDECAR_PREFIX}{name}"
    if not several and name == name.lower() and len(plain.encode()) <= _LONGEST_BYTES:
        return plain
    readable = _readable(name)
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{SIDECAR_PREFIX}{'_' * several}{readable}-{digest}"


def draft_prefix(sidecar: str) -> str:
    """Begin the names of what is made to take a sidecar's place; no sidecar's name begins so."""
    return f"{SIDECAR_PREFIX}__{_readable(sidecar.removeprefix(SIDECAR_PREFIX))}-"


def _readable(name: str) -> str:
    return _UNREADABLE.sub("-", name.lower())[:100].strip("-")
