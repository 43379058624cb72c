"""One shard for many threads: used by one at a time, closed and reopened around optimizing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import qdrant_edge as edge

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.connectors.embedded import forks
from retrieve_rerank.connectors.embedded.folder import IndexFolder, damaged
from retrieve_rerank.connectors.embedded.optimizing import optimize
from retrieve_rerank.connectors.embedded.shard import engine_errors, has_space, open_shard
from retrieve_rerank.errors import ConnectorError, DeadlineExceededError, IndexMismatchError


def open_whole(folder: IndexFolder) -> edge.EdgeShard:
    """Open the shard of a folder; raise IndexCorruptError where any of it is missing."""
    folder.require_whole()
    shard = open_shard(folder.shard)
    recorded = folder.manifest.inventory
    if recorded is not None and not folder.manifest.writing:
        with engine_errors(folder.path):
            documents = count(shard)
            if documents != recorded.documents:
                shard.close()
                found = f"{documents:,} documents where {recorded.documents:,} were written"
                raise damaged(folder.path, [found])
    return shard


def _lost(folder: IndexFolder) -> IndexMismatchError:
    return IndexMismatchError(
        f"the index at {folder.path} is no longer the one that was opened: the folder, or the lock "
        "in it, was deleted, moved away or made anew meanwhile. Nothing more is read from it or "
        "written to it; connect anew. rr index --recreate replaces an index that nobody has open"
    )


def count(shard: edge.EdgeShard) -> int:
    """Count the documents."""
    return shard.count(edge.CountRequest(exact=True))


class SharedShard:
    """An open shard in a folder that other processes are kept out of.

    The engine may be called by several threads, but holds the interpreter's lock meanwhile, so
    that taking turns costs nothing.
    """

    def __init__(self, folder: IndexFolder, shard: edge.EdgeShard) -> None:
        self._folder = folder
        self._shard: edge.EdgeShard | None = shard
        self._turn = threading.RLock()
        self._owner = forks.Owner(folder, shard)
        self._lost = False

    @contextmanager
    def use(self, *, timeout_s: float | None = None) -> Iterator[edge.EdgeShard]:
        """Take a turn to read; what the engine raises arrives as our errors.

        Raises DeadlineExceededError when the turn does not come within `timeout_s` seconds,
        ConnectorError in a forked child, and IndexMismatchError where the folder is no longer the
        one that was opened.
        """
        self._owner.check()
        left_s = Deadline(timeout_s).left_s
        if not self._turn.acquire(timeout=-1 if left_s is None else left_s):
            raise DeadlineExceededError(
                f"the index at {self._folder.path} is being optimized or written; no answer within "
                f"{timeout_s:g} s"
            )
        try:
            if self._lost or not self._folder.lock.in_place():
                self._let_go()
                raise _lost(self._folder)
            if self._shard is None:
                raise ConnectorError(f"the index at {self._folder.path} is closed; connect anew")
            with engine_errors(self._folder.path):
                yield self._shard
        finally:
            self._turn.release()

    def update(self, operation: edge.UpdateOperation) -> None:
        """Take a turn to write; within one to read, it is the same."""
        with self.use() as shard:
            self._folder.begin_writing()
            shard.update(operation)

    def flush(self) -> None:
        """Have what is written survive a kill without being written again."""
        with self.use() as shard:
            shard.flush()

    def optimize(self, on_progress: Callable[[float], None] | None) -> bool:
        """Have another process optimize the shard; everyone else waits for their turn."""
        with self.use() as shard:
            self._folder.begin_writing(segments=True)
            shard.flush()
            shard.close()
            self._shard = None
            try:
                return optimize(
                    self._folder.shard,
                    lock_descriptor=self._folder.lock.descriptor,
                    on_progress=on_progress,
                )
            finally:
                self._shard = self._owner.shard = open_shard(self._folder.shard)

    def activate(self) -> None:
        """Let the index, made beside another, take its place."""
        with self.use() as shard:
            shard.flush()
            self._folder.activate()

    def close(self) -> None:
        """Flush, close, record what there is and unlock; closing twice is harmless."""
        if self._owner.forked:
            return
        with self._turn:
            if self._shard is None:
                return
            if not self._folder.lock.in_place():
                self._let_go()
                return
            try:
                with engine_errors(self._folder.path):
                    self._shard.close()
                if self._folder.written and not self._folder.draft:
                    self._record()
            finally:
                self._shard = self._owner.shard = None
                self._folder.close()

    def _let_go(self) -> None:
        """Leave what lies at the folder's name now to whoever put it there."""
        self._lost = True
        if self._shard is not None:
            forks.keep_unended(self._shard)
            self._shard = self._owner.shard = None
            self._folder.close()

    def _record(self) -> None:
        if not has_space(self._folder.path):  # it stays marked as being written to
            return
        # Opening cleans up after the last writes; later openings find nothing left to change.
        shard = open_shard(self._folder.shard)
        with engine_errors(self._folder.path):
            documents = count(shard)
            shard.close()
        self._folder.end_writing(documents)
