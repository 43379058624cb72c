"""A program: optimize the shard at argv[1], on behalf of the process argv[2].

Run by its path and importing the engine alone, so that it starts in a twentieth of a second.
Writes "changed" where there was something to do, or why it failed to stderr.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import qdrant_edge as edge

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(shard_path: str, parent: int) -> int:
    """Do it; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no handler runs while the engine works
    _die_with(parent)
    try:
        shard = edge.EdgeShard.load(shard_path)
        changed = shard.optimize()
        shard.flush()
        shard.close()
    except Exception as exc:
        sys.stderr.write(str(exc))
        return 1
    sys.stdout.write("changed" if changed else "")
    return 0


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before that took effect
        sys.exit("the parent process is gone")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
