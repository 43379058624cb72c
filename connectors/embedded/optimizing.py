"""Having the graph built by a process of its own: the engine keeps the interpreter to itself.

The process inherits the index's lock, dies with its parent, and, killed at any moment, leaves the
shard as it was or as it should become.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from retrieve_rerank.connectors.embedded.shard import (
    bytes_on_disk,
    require_space,
    translated,
)
from retrieve_rerank.errors import ConnectorError, StorageFullError

_PROGRAM = Path(__file__).with_name("optimizer.py")
_POLL_S = 0.2


def optimize(
    shard: Path, *, lock_descriptor: int, on_progress: Callable[[float], None] | None
) -> bool:
    """Optimize a shard that nobody has open; return whether there was anything to do.

    `on_progress` hears the seconds that have passed, several times a second. Whatever ends the
    wait, Ctrl-C too, ends the process.
    """
    folder = shard.parent
    require_space(folder, bytes_on_disk(shard))
    started = time.monotonic()
    command = [sys.executable, "-P", str(_PROGRAM), str(shard), str(os.getpid())]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[lock_descriptor],
    ) as child:
        try:
            while True:
                try:
                    output, errors = child.communicate(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    if on_progress:
                        on_progress(time.monotonic() - started)
        except BaseException:
            child.kill()
            raise
    if child.returncode == -signal.SIGBUS:
        raise StorageFullError(f"no space is left at {folder}; free some and optimize again")
    if child.returncode < 0:
        raise ConnectorError(
            f"optimizing the index at {folder} was ended by signal {-child.returncode}; "
            "the index is as it was"
        )
    if child.returncode:
        raise translated(errors.strip() or "no reason given", folder)
    return output == "changed"
