"""The processes that train one model together, each on its share of every step's groups.

`torchrun` and `accelerate launch` start them and say in the environment who is who.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import gather
from torch.distributed import DistError

from retrieve_rerank.errors import ConfigError, ProcessLostError
from retrieve_rerank.training.launching import launched

_LONGEST_WAIT = timedelta(hours=2)
"""How long the others wait for the first process's look at the dev measure."""

_LOST = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL", "TCPStore")
"""What errors of torch hold where another process has gone: most are bare RuntimeErrors."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Those that train together, as one of them sees it."""

    rank: int
    """This one's number, from 0."""
    count: int
    device: torch.device
    """What this one computes on."""

    @property
    def first(self) -> bool:
        """Whether this one writes, looks at the dev measure and tells of it."""
        return self.rank == 0

    def gather(self, *numbers: float) -> Sequence[Sequence[float]]:
        """Return the numbers of each process, the first one's first; all of them must ask."""
        if self.count == 1:
            return [numbers]
        mine = torch.tensor([numbers], dtype=torch.float64, device=self.device)
        rows: list[list[float]] = gather(mine).tolist()
        return rows

    def wait(self) -> None:
        """Wait until all are here."""
        self.gather(0.0)


@contextmanager
def watched() -> Iterator[None]:
    """Raise ProcessLostError in place of what torch raises where another process has gone."""
    try:
        yield
    except Exception as exc:
        rank, count = launched()
        if count == 1 or not lost(exc):
            raise
        torch_says = str(exc).strip().partition("\n")[0]
        raise ProcessLostError(
            f"another of the {count} processes of this training has ended, and this one (number"
            f" {rank}) ends with it; what the other one said tells why, and the same command goes"
            f" on from the last checkpoint (torch: {torch_says})"
        ) from exc


def leave() -> None:
    """Part from the other processes, after the last call."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def idle_gpus() -> str | None:
    """Say that there are GPUs that one process leaves idle; None where there are none."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if launched()[1] > 1 or count < 2:
        return None
    return (
        f"there are {count} GPUs, of which one process takes one: torchrun --nproc-per-node"
        f" {count} --no-python rr train … takes all"
    )


def lost(exc: Exception) -> bool:
    """Whether an error says that another process has gone."""
    return isinstance(exc, DistError) or (
        isinstance(exc, RuntimeError) and any(mark in str(exc) for mark in _LOST)
    )


def join(device: str) -> Processes:
    """Meet the processes that were started with this one; one alone where there are none.

    `device` is cpu, cuda or auto. Raises ConfigError where they cannot train together.
    """
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    count = launched()[1]
    if count > 1 and device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"device is {device!r}, which {count} processes cannot share: leave it out, and each"
            " takes the GPU of its number"
        )
    state = PartialState(cpu=on_cpu, timeout=_LONGEST_WAIT) if count > 1 else None
    found = state.num_processes if state else 1
    if found != count:
        raise ConfigError(
            f"the environment says that {count} processes train together (WORLD_SIZE), but this"
            " one is alone: start it by torchrun or accelerate launch, which say the rest too"
            " (LOCAL_RANK, MASTER_ADDR)"
        )
    if state is None:
        kind = "cpu" if on_cpu else "cuda" if device == "auto" else device
        return Processes(0, 1, torch.device(kind))
    return Processes(state.process_index, found, state.device)
