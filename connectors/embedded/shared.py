"""One shard for many threads: used by one at a time, closed and reopened around optimizing.

Knows nothing of documents.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge

from retrieve_rerank.connectors.embedded.lock import IndexLock
from retrieve_rerank.connectors.embedded.optimizing import optimize
from retrieve_rerank.connectors.embedded.shard import engine_errors, open_shard
from retrieve_rerank.errors import ConnectorError, DeadlineExceededError


class SharedShard:
    """An open shard and the lock that keeps other processes out.

    The engine may be called by several threads, but holds the interpreter's lock meanwhile, so
    that taking turns costs nothing.
    """

    def __init__(self, folder: Path, lock: IndexLock, shard: edge.EdgeShard) -> None:
        self._folder = folder
        self._lock = lock
        self._shard: edge.EdgeShard | None = shard
        self._turn = threading.Lock()

    @contextmanager
    def use(self, *, timeout_s: float | None = None) -> Iterator[edge.EdgeShard]:
        """Take a turn; what the engine raises arrives as our errors.

        Raises DeadlineExceededError when the turn does not come within `timeout_s` seconds.
        """
        if not self._turn.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            raise DeadlineExceededError(
                f"the index at {self._folder} is being optimized or written; no answer within "
                f"{timeout_s:g} s"
            )
        try:
            if self._shard is None:
                raise ConnectorError(f"the index at {self._folder} is closed; connect anew")
            with engine_errors(self._folder):
                yield self._shard
        finally:
            self._turn.release()

    def optimize(self, on_progress: Callable[[float], None] | None) -> bool:
        """Have another process optimize the shard; everyone else waits for their turn."""
        with self.use() as shard:
            self._shard = None
            shard.flush()
            shard.close()
            try:
                return optimize(
                    self._folder, lock_descriptor=self._lock.descriptor, on_progress=on_progress
                )
            finally:
                self._shard = open_shard(self._folder)

    def close(self) -> None:
        """Flush, close and unlock; closing twice is harmless."""
        with self._turn:
            if self._shard is not None:
                try:
                    with engine_errors(self._folder):
                        self._shard.close()
                finally:
                    self._shard = None
                    self._lock.release()
