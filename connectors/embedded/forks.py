"""What a forked child does with an index that its parent has open: nothing.

The engine's threads are not there in the child, so that a search would wait for ever, and what the
child wrote would mix with what the parent writes. The child shares the parent's descriptors too,
and with them the locks, which would outlive the parent. So it lets go of all that.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache
from weakref import WeakSet

import qdrant_edge as edge

from retrieve_rerank.connectors.embedded.folder import IndexFolder
from retrieve_rerank.errors import ConnectorError


class Owner:
    """Knows whether this is the process that opened the shard."""

    def __init__(self, folder: IndexFolder, shard: edge.EdgeShard) -> None:
        self.shard: edge.EdgeShard | None = shard
        self.forked = False
        self._folder = folder
        self._pid = os.getpid()
        _watch_forks()
        _owners.add(self)

    def check(self) -> None:
        """Raise ConnectorError in a forked child."""
        if self.forked:
            raise ConnectorError(
                f"the index at {self._folder.path} was opened by process {self._pid}, of which "
                "this one is a fork: a connector cannot be used there. Fork first and connect "
                "then, in one process at a time, or start processes by spawn"
            )

    def let_go(self) -> None:
        """Leave the index to the parent; called in a child, right after the fork."""
        self.forked = True
        if self.shard is None:
            return
        keep_unended(self.shard)
        with suppress(OSError):
            log = os.stat(self._folder.shard / "wal")  # the engine locks it as a folder
            lock = os.fstat(self._folder.lock.descriptor)
            nothing = os.open(os.devnull, os.O_RDWR)
            for name in os.listdir("/dev/fd"):
                with suppress(OSError):
                    is_ours = any(os.path.samestat(os.fstat(int(name)), it) for it in (log, lock))
                    if is_ours:
                        os.dup2(nothing, int(name), inheritable=False)
            os.close(nothing)


def keep_unended(shard: edge.EdgeShard) -> None:
    """Keep a shard until the process ends, since its end writes to files that are not ours."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(shard))


_owners: WeakSet[Owner] = WeakSet()


@cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_let_go_of_all)


def _let_go_of_all() -> None:
    for owner in list(_owners):
        owner.let_go()
