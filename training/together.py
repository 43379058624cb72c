"""Which things belong together, where pairs of them are known to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


class Together:
    """Names, joined pair by pair into sets (union-find)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._leaders = {name: name for name in names}

    def join(self, one: str, other: str) -> None:
        """Let two names, and all that belongs to either, belong together."""
        self._leaders[self._leader(one)] = self._leader(other)

    def sets(self) -> list[list[str]]:
        """List the sets, most of them of one, in the order of the names."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in self._leaders:
            found[self._leader(name)].append(name)
        return list(found.values())

    def _leader(self, name: str) -> str:
        leaders = self._leaders
        while leaders[name] != name:
            leaders[name] = leaders[leaders[name]]
            name = leaders[name]
        return name
