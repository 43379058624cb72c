"""What `torchrun` and `accelerate launch` say in the environment of the processes they start."""

from __future__ import annotations

import os
from collections.abc import Sequence

from retrieve_rerank.errors import ConfigError

# Those of torchrun, and of the MPIs that accelerate knows.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def launched() -> tuple[int, int]:
    """Return this process's number, from 0, and how many were started, as the environment says."""
    return _first_number(_RANKS, 0), max(_first_number(_SIZES, 1), 1)


def alone(what: str) -> None:
    """Raise ConfigError where several processes were started for what one does."""
    count = launched()[1]
    if count > 1:
        raise ConfigError(
            f"{what} runs in one process, and {count} were started: start it without torchrun or"
            " accelerate launch; rr train is what trains in several"
        )


def fewer_than_asked() -> str | None:
    """Say that accelerate was to start several processes and started one; None where it was not.

    `accelerate launch --cpu --num_processes 2` starts one, without a word (seen with 1.15): it sets
    the address where several would meet, and nobody is told a number.
    """
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ
    numbered = any(name in os.environ for name in (*_RANKS, *_SIZES, "LOCAL_RANK"))
    if not by_accelerate or numbered:
        return None
    return (
        "accelerate launch was asked for several processes and has started one, as it does on CPUs"
        " (--cpu) without mpirun: training goes on in this one alone; several are started by"
        " torchrun --nproc-per-node 2 --no-python rr train …"
    )


def _first_number(names: Sequence[str], default: int) -> int:
    said = next((os.environ[name] for name in names if name in os.environ), "")
    return int(said) if said.isdecimal() else default
