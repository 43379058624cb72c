"""How fast a base trains here, found in a few seconds: what estimates of a training's time need."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from retrieve_rerank.training.groups import Group, has_users
from retrieve_rerank.training.launching import alone
from retrieve_rerank.training.trainers.arguments import quiet
from retrieve_rerank.training.trainers.drawing import Steps
from retrieve_rerank.training.trainers.objective import choose_groups, choose_objective
from retrieve_rerank.training.trainers.opening import Opens, open_network
from retrieve_rerank.training.trainers.processes import join
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.trainer import GroupTrainer

_PAIRS = 16  # of a pass: few, so that the first passes end soon on a slow machine
_MOST_PASSES = 1000


def measure_speed(
    groups: Sequence[Group],
    *,
    base: str,
    settings: TrainerSettings = TrainerSettings(),  # noqa: B008 - a frozen value
    seconds: float = 5.0,
    opens: Opens = open_network,
) -> float:
    """Return pairs trained a second, from passes over some of the groups; nothing is kept.

    `opens` is as for `train`.

    Passes are forward and backward, for `seconds` and after one that warms up. Raises as `train`
    does for groups and bases.
    """
    alone("measure_speed")
    objective = choose_objective(
        settings.loss, groups, temperature=settings.temperature, reranker=settings.reranker
    )
    usable = choose_groups(groups, objective).groups
    network = opens(base, settings, objective, users=has_users(usable))
    draws = Steps(
        usable,
        steps=_MOST_PASSES,
        batch_size=max(1, _PAIRS // settings.group_size),
        group_size=settings.group_size,
        contrastive=objective.contrastive,
        seed=settings.seed,
        whole=settings.remine,
    )
    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = GroupTrainer(
            network,
            objective,
            draws,
            settings=settings,
            processes=join(settings.device),
            folder=Path(folder),
            evaluator=None,
            callbacks=[],
        )
        trainer.training_step(trainer.model, draws[0])
        pairs, started = trainer.pairs_seen, time.perf_counter()
        for number in range(1, _MOST_PASSES):
            trainer.training_step(trainer.model, draws[number])
            spent = time.perf_counter() - started
            if spent >= seconds:
                break
    return (trainer.pairs_seen - pairs) / spent
