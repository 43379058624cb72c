"""Groups and a base to a trained reranker."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.training.groups import Group, has_users
from retrieve_rerank.training.trainers.arguments import quiet
from retrieve_rerank.training.trainers.drawing import Steps
from retrieve_rerank.training.trainers.guards import Stopped
from retrieve_rerank.training.trainers.network import Network
from retrieve_rerank.training.trainers.objective import choose_groups, choose_objective
from retrieve_rerank.training.trainers.opening import (
    Opens,
    check_goes_with,
    open_network,
    without_unreadable,
)
from retrieve_rerank.training.trainers.processes import Processes, join, watched
from retrieve_rerank.training.trainers.result import Progress, Trained
from retrieve_rerank.training.trainers.saving import save_model
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.sharding import asked_sharding
from retrieve_rerank.training.trainers.trainer import GroupTrainer, checkpoints
from retrieve_rerank.training.trainers.watching import Watcher, curve, measured, out_of_patience

_RUN, _RESULT, _MODEL, _CHECKPOINTS = "run.json", "trained.json", "model", "checkpoints"
_SEEN_WITHIN_S = 60  # NFS clients believe for so long what they saw in a folder


@watched()
def train(
    groups: Sequence[Group],
    *,
    base: str,
    output: Path | str,
    settings: TrainerSettings = TrainerSettings(),  # noqa: B008 - a frozen value
    evaluator: Callable[[Scorer], float] | None = None,
    floor: float | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    on_progress: Callable[[Progress], None] | None = None,
    opens: Opens = open_network,
) -> Trained:
    """Train a reranker from groups; the model is in `output`/model.

    `base` is a cross-encoder of one label, an encoder or a language model, by name or folder; of
    the last `settings.reranker` says in which form. `evaluator` is given
    the network as a `Scorer` before the first step and every `settings.evaluate_every` steps, and
    returns the dev measure, higher is better: the best checkpoint becomes the model, the last one
    where there is no evaluator. `floor` is what the measure has to get beyond, the first stage's;
    its value before the first step where None. `callbacks` are the Hugging Face Trainer's. `opens`
    makes the network that is trained, of another kind than `open_network` knows.

    What broke off goes on where the last checkpoint was, by the same call; what has ended is
    returned as it is. Several processes, started by torchrun or accelerate launch, make the same
    call, and share the groups of each step; the first writes, evaluates and hears of progress, in
    a folder that all of them see. Raises ConfigError where `output` holds a run of other data
    or settings, InputError where there is nothing to learn from, ModelError for a base that cannot
    be trained, OutOfMemoryError, ProcessLostError where another process has ended, and InputError
    too where a checkpoint cannot be written: the last good one is kept.
    """
    output = Path(output)
    processes = join(settings.device)
    objective = choose_objective(
        settings.loss, groups, temperature=settings.temperature, reranker=settings.reranker
    )
    usable = choose_groups(groups, objective)
    run = _describe(groups, base=base, settings=settings)
    _check_same(output / _RUN, run)
    if (output / _RESULT).is_file():
        return Trained.load(output / _RESULT)
    run["sharding"] = asked_sharding()
    _check_same(output / _RUN, run)
    _check_batch(settings.batch_size, processes)
    users = has_users(usable.groups)
    network = opens(base, settings, objective, users=users)
    check_goes_with(network, objective, settings)
    usable = without_unreadable(usable, network)
    steps = settings.max_steps or math.ceil(
        settings.epochs * len(usable.groups) / settings.batch_size
    )
    if processes.first:
        _write_down(output / _RUN, run)
    processes.wait()
    _check_shared(output / _RUN, processes)
    _check_same(output / _RUN, run)  # as other machines may have other data
    watcher = Watcher(settings, floor=floor, on_progress=on_progress if processes.first else None)
    draws = Steps(
        usable.groups,
        steps=steps,
        batch_size=settings.batch_size,
        group_size=settings.group_size,
        contrastive=objective.contrastive,
        seed=settings.seed,
        curriculum=settings.curriculum,
        whole=settings.remine,
    )
    with quiet():
        trainer = watcher.trainer = GroupTrainer(
            network,
            objective,
            draws,
            settings=settings,
            processes=processes,
            folder=output / _CHECKPOINTS,
            evaluator=evaluator,
            callbacks=[watcher, *callbacks],
        )
    failure = _run(trainer, output / _CHECKPOINTS, settings, processes)
    history = trainer.state.log_history
    trained = Trained(
        model=output / _MODEL,
        steps=trainer.state.global_step,
        curve=curve(history),
        pairs_per_s=watcher.pairs_per_s,
        loss=str(objective),
        reranker=network.reranker,
        description=_description(network, trainer, processes),
        stopped=failure or out_of_patience(measured(history), settings.patience),
        failed=failure is not None,
        warnings=[*_unread(usable.groups), *([watcher.warning] if watcher.warning else [])],
        left_out=dict(usable.left_out),
    )
    if processes.first:
        saved = dict(checkpoints(output / _CHECKPOINTS))
        if trainer.sharding or (failure and not saved):
            # Whose weights are whole and its own, and whose numbers are good.
            # Otherwise ZeRO-3 would divide this one too.
            unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
            fresh = replace(settings, device="cpu")
            network = opens(base, fresh, objective, users=users)
        _take_best(network, trainer, saved, failed=failure is not None)
        save_model(network, output / _MODEL)
        trained.save(output / _RESULT)
        shutil.rmtree(output / _CHECKPOINTS)
    processes.wait()
    return trained


def _run(
    trainer: GroupTrainer, folder: Path, settings: TrainerSettings, processes: Processes
) -> str | None:
    """Train from the last checkpoint, the first process's; say why a guard stopped it."""
    steps = [step for step, _ in checkpoints(folder)]
    step = int(processes.gather(max(steps, default=-1))[0][0])
    last = folder / f"checkpoint-{step}" if step >= 0 else None
    if last and _had_ended(last, settings):
        trainer.state = TrainerState.load_from_json(str(last / "trainer_state.json"))
        return None
    if last:
        trainer.remember(last)
    with quiet():
        try:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        except Stopped as exc:
            return str(exc)
    return None


def _take_best(
    network: Network[Any], trainer: GroupTrainer, saved: Mapping[int, Path], *, failed: bool
) -> None:
    """Give the network the weights of the best checkpoint, or of the last one where it has none of
    its own or none that are good."""
    best = trainer.state.best_global_step if trainer.evaluates else None
    if best is not None and best in saved:
        network.load(saved[best])
    elif saved and (failed or trainer.sharding):
        network.load(saved[max(saved)])


def _had_ended(checkpoint: Path, settings: TrainerSettings) -> bool:
    """Whether training had stopped early here, and was killed before it could say so."""
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return out_of_patience(measured(state.log_history), settings.patience) is not None


def _describe(groups: Sequence[Group], *, base: str, settings: TrainerSettings) -> dict[str, Any]:
    """Say what a run is made of, flat and as JSON has it."""
    digest = hashlib.sha256()
    for group in groups:
        parts = (group.query, group.texts, *([group.user] if group.user else []))
        digest.update(repr(parts).encode(errors="surrogatepass"))
    run = {"base": base, "groups": len(groups), "sha256": digest.hexdigest(), **asdict(settings)}
    described: dict[str, Any] = json.loads(json.dumps(run))
    return described


def _check_same(file: Path, run: Mapping[str, Any]) -> None:
    """Raise ConfigError where the folder is another run's."""
    if not file.is_file():
        return
    there = json.loads(file.read_text(encoding="utf-8"))
    differing = [
        f"{name} {there.get(name)!r}, now {now!r}"
        for name, now in run.items()
        if there.get(name) != now
    ]
    if differing:
        raise ConfigError(
            f"{file.parent} holds another run, with {'; '.join(differing)}: give the same data and"
            " settings for it to go on, or another output folder"
        )


def _check_batch(groups: int, processes: Processes) -> None:
    if groups < processes.count:
        raise ConfigError(
            f"batch_size is {groups} groups a step, of which each of {processes.count} processes"
            f" takes one at least: set it to {processes.count} or more, or start fewer"
        )


def _check_shared(file: Path, processes: Processes) -> None:
    """Raise ConfigError where a process does not see what the first one wrote."""
    for _ in range(_SEEN_WITHIN_S):
        if file.is_file():
            return
        time.sleep(1)
    raise ConfigError(
        f"process {processes.rank} of {processes.count} does not see {file}, which the first one"
        " wrote: output must be a folder that all machines share"
    )


def _unread(groups: Sequence[Group]) -> list[str]:
    """Say what of the groups no network reads."""
    count = sum(bool(group.prompts) for group in groups)
    if not count:
        return []
    return [
        f"prompts that {count:,} groups bring along (prompt, query_prompt, passage_prompt) are not"
        " trained with: the model reads one prompt for all queries, the setting `prompt`"
    ]


def _description(network: Network[Any], trainer: GroupTrainer, processes: Processes) -> str:
    if processes.count == 1:
        return network.description
    return f"{network.description}, {processes.count} processes, {trainer.sharding or 'DDP'}"


def _write_down(file: Path, run: Mapping[str, Any]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"cannot write to {file.parent}: {exc.strerror}") from exc
    write_json(file, run)
