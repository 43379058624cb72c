"""Two processes that train together, forked from one that has imported everything.

    python -m tests.training.together SCENARIO.json…

A scenario says `base`, `output`, `settings`, how many `groups`, and may say the `environment` that
accelerate launch would make, and `kill`: [number of the process, after which step]. The exit codes
are printed, a line for each scenario; what the processes write on stderr is in `output`.log.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from transformers import TrainerCallback

from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers import Trained, TrainerSettings, train
from tests.training.test_trainer import first_share, groups

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}


def uneven(count: int) -> list[Group]:
    """Make groups of two to four texts."""
    return [replace(g, texts=g.texts[: 2 + n % 3]) for n, g in enumerate(groups(count))]


def run(scenario: Mapping[str, Any], *callbacks: TrainerCallback) -> Trained:
    """Train as the scenario says, in this process or as one of several."""
    return train(
        uneven(scenario["groups"]),
        base=scenario["base"],
        output=scenario["output"],
        settings=TrainerSettings.from_mapping(scenario["settings"]),
        evaluator=first_share(groups(5, seed=2)),
        callbacks=callbacks,
    )


class _Kill(TrainerCallback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def _as_on_gpus() -> None:
    """Let accelerate divide weights on the CPU, which it does on GPUs alone."""
    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"


def _one_of_two(rank: int, port: int, scenario: Mapping[str, Any]) -> int:
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in said.items()}, MASTER_ADDR="localhost")
    log = os.open(f"{scenario['output']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stderr.fileno())
    kill = scenario.get("kill")
    try:
        os.environ.update(scenario.get("environment", {}))
        if "ACCELERATE_USE_FSDP" in os.environ:
            _as_on_gpus()
        run(scenario, *([_Kill(kill[1])] if kill and kill[0] == rank else []))
    except RetrieveRerankError as exc:
        sys.stderr.write(f"{rank}: {type(exc).__name__}: {exc}\n")
        sys.stderr.flush()
        return 1
    except BaseException:
        traceback.print_exc()
        return 2
    return 0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port: int = found.getsockname()[1]
        return port


def run_together(scenario: Mapping[str, Any]) -> list[int]:
    """Run a scenario in two processes, and return their exit codes; negative is a signal."""
    port, children = _free_port(), []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            os._exit(_one_of_two(rank, port, scenario))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> None:
    """Run each scenario."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    for file in sys.argv[1:]:
        codes = run_together(json.loads(Path(file).read_text()))
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
