"""What an address stands for while it is open: an alias may move, an index may be made anew.

Requests go on through the user's name, since an alias may carry filters, and may be the only name
that is allowed. Whether it still stands for what was opened is told by the `_index` of hits, which
costs nothing. An index made anew under the same name is told by its uuid, which takes a request of
its own: sent where hits come from elsewhere, nothing is found or the server refuses, and with the
first search after CHECK_EVERY_S. So long, at most, may such an index be searched as the old one
was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from retrieve_rerank.connectors import moving
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request, Steps
from retrieve_rerank.connectors.elasticsearch.opening import (
    Opened,
    Options,
    open_index,
    reopened,
)
from retrieve_rerank.connectors.elasticsearch.requests import quoted
from retrieve_rerank.connectors.moving import CHECK_EVERY_S, may_be_of_a_move, unfit, unsteady
from retrieve_rerank.errors import (
    ConfigError,
    ConnectorError,
    IndexMismatchError,
    SchemaError,
    UnknownFieldError,
)

T = TypeVar("T")
Hit = Mapping[str, Any]


class Target:
    """An open address, of an index, an alias or several, and what it was last found to stand for.

    All that changes while it is open is here. Safe to share between threads and event loops.
    """

    def __init__(self, cluster: Cluster, options: Options, opened: Opened) -> None:
        self.cluster = cluster
        self.options = options
        self.opened = opened  # another where the address has moved, so take it once
        self._asked_at = time.monotonic()

    def settled(self, work: Callable[[Opened], Steps[tuple[T, list[list[Hit]]]]]) -> Steps[T]:
        """Do what looks into the index, again where the address has moved meanwhile.

        `work` returns its result and the hits that it saw, of each of its searches. Raises
        IndexMismatchError where what the address stands for now cannot be searched like before.
        """
        for _ in range(moving.TIMES):
            opened = self.opened
            try:
                result, hits = yield from work(opened)
            except ConnectorError as exc:
                if not may_be_of_a_move(exc) or not (yield from self._moved(opened)):
                    raise
                continue
            strays = any(hit["_index"] not in opened.indexes for some in hits for hit in some)
            # By vectors, which come first, something is always found; by words often nothing.
            empty = bool(hits) and not hits[0]
            due = empty or time.monotonic() - self._asked_at > CHECK_EVERY_S
            if not strays and not (due and (yield from self._moved(opened))):
                return result
            if strays:
                yield from self._moved(opened)
        raise unsteady(self.opened.location)

    def refresh(self) -> Steps[Opened]:
        """Look what the address stands for, and return it opened."""
        yield from self._moved(self.opened)
        return self.opened

    def reread(self) -> Steps[Opened]:
        """Read anew what documents that came since may have changed, and return it."""
        opened = self.opened
        again = yield from reopened(opened)
        if again.indexes == opened.indexes:
            self.opened = again
        else:
            yield from self._moved(opened)
        return self.opened

    def _moved(self, opened: Opened) -> Steps[bool]:
        """Tell whether the address stands for something else than `opened`, and open that."""
        there = yield from ask_indexes(opened.name)
        self._asked_at = time.monotonic()
        if there == opened.indexes:
            return False
        if there == self.opened.indexes:  # another thread was faster
            return True
        try:
            anew = yield from open_index(
                opened.name, opened.location, self.options, encoder=opened.encoder
            )
        except (ConfigError, IndexMismatchError, SchemaError, UnknownFieldError) as exc:
            raise unfit(opened.location, _named(opened.indexes), _named(there), exc) from exc
        self.opened = anew
        return True


def ask_indexes(name: str) -> Steps[dict[str, str]]:
    """Ask which concrete indexes a name stands for: name -> uuid."""
    wanted = {"filter_path": "*.settings.index.uuid"}
    answer = yield Request("GET", f"/{quoted(name)}/_settings", params=wanted)
    return {index: each["settings"]["index"]["uuid"] for index, each in answer.items()}


def require_same(opened: Opened, hits: Iterable[Hit] | None = None) -> Steps[None]:
    """Raise IndexMismatchError where an address stands for something else than what was opened.

    For work that cannot begin anew. With `hits`, asks only where one of them is of another index.
    """
    if hits is not None and all(hit["_index"] in opened.indexes for hit in hits):
        return
    there = yield from ask_indexes(opened.name)
    if hits is not None or there != opened.indexes:
        raise moved_meanwhile(opened.location, opened.indexes, there)


def moved_meanwhile(
    location: str, before: Mapping[str, str], now: Mapping[str, str]
) -> IndexMismatchError:
    """Make the error for work that was under way when an address moved."""
    return moving.moved_meanwhile(location, _named(before), _named(now))


def _named(indexes: Mapping[str, str]) -> str:
    names = ", ".join(f"{name} ({uuid})" for name, uuid in list(indexes.items())[:5])
    more = len(indexes) - 5
    return f"{names or 'nothing'}{f' and {more} more' if more > 0 else ''}"
