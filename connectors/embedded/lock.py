"""One process at a time: a lock file that tells who holds it.

The engine refuses a second process too, but neither waits nor says who is in the way. Knows
nothing of the engine.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.errors import ConnectorError, IndexLockedError

LOCK = "lock"

_POLL_S = 0.02
_TOLD_S = 1.0  # after which it is said what is waited for

logger = logging.getLogger(__name__)


class IndexLock:
    """Hold an index's folder until `release`, or until the process ends however it ends.

    `flock` itself rather than the package filelock, as the optimizing child must inherit it.
    """

    def __init__(self, folder: Path, *, timeout_s: float) -> None:
        """Wait at most `timeout_s` seconds; raise IndexLockedError naming the holder.

        At once where this very thread holds it, which cannot let go of it while it waits.
        """
        try:
            self.descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as exc:
            raise ConnectorError(f"cannot lock the index at {folder}: {exc.strerror}") from exc
        try:
            self._wait(folder, timeout_s)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._file = folder / LOCK
        self._held = os.fstat(self.descriptor)
        with suppress(OSError):  # of a full disk: it is locked all the same, namelessly
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, json.dumps(_myself()).encode(), 0)

    def in_place(self) -> bool:
        """Tell whether the file that is locked is still the one in the folder.

        It is not where the folder was deleted, moved or made anew by somebody who does not ask
        for the lock.
        """
        try:
            return os.path.samestat(self._held, os.stat(self._file))
        except OSError:
            return False

    def release(self) -> None:
        """Let the next process in; releasing twice is harmless."""
        if self.descriptor >= 0:
            with suppress(OSError):
                os.ftruncate(self.descriptor, 0)
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # forked children share the descriptor
            os.close(self.descriptor)
            self.descriptor = -1

    def _wait(self, folder: Path, timeout_s: float) -> None:
        deadline, quiet = Deadline(timeout_s), Deadline(_TOLD_S)
        told = False
        while not self._try():
            holder = _holder(self.descriptor)
            if holder == _myself():
                raise IndexLockedError(
                    f"the index at {folder} is open already in this very process, and can be open "
                    "once at a time: close the other one first, or go on with it"
                )
            if deadline.over:
                raise IndexLockedError(
                    f"the index at {folder} is in use by {_named(holder)}, and was for "
                    f"the {timeout_s:g} s of waiting: one process can have it open at a "
                    "time; run this again when that has ended"
                )
            if quiet.over and not told:
                told = True
                message = "the index at %s is in use by %s; waiting for it, at most %g s"
                logger.warning(message, folder, _named(holder), timeout_s)
            time.sleep(_POLL_S)

    def _try(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _myself() -> dict[str, str | int]:
    # The program and its first argument ("rr serve"): later ones may hold secrets.
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]) or Path(sys.executable).name
    return {
        "pid": os.getpid(),
        "command": command,
        "host": socket.gethostname(),
        "thread": threading.get_ident(),
    }


def _holder(descriptor: int) -> object:
    try:
        return json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:  # it has the lock, but has not written its name yet
        return None


def _named(holder: object) -> str:
    match holder:
        case {"pid": pid, "command": command, "host": host}:
            if (pid, host) == (os.getpid(), socket.gethostname()):
                return "another thread of this very process"
            return f"process {pid} ({command}) on {host}"
    return "another process"
