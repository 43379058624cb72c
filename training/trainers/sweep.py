"""Which learning rate suits a base and its data, by successive halving."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers.result import Progress
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.training import train

LEARNING_RATES = (1e-5, 3e-5, 1e-4, 3e-4)
"""Half a power of ten apart, around what encoders of 20 to 600 million weights are tuned with."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found."""

    settings: TrainerSettings
    """The given ones, with the best learning rate."""
    rounds: Sequence[Mapping[float, float]]
    """Of each round, learning rate -> best dev measure; −inf where a guard stopped it."""


def sweep(
    groups: Sequence[Group],
    *,
    base: str,
    output: Path | str,
    evaluator: Callable[[Scorer], float],
    steps: int,
    settings: TrainerSettings = TrainerSettings(),  # noqa: B008 - a frozen value
    learning_rates: Sequence[float] = LEARNING_RATES,
    on_progress: Callable[[Progress], None] | None = None,
) -> Swept:
    """Train `steps` steps with each rate, the better half twice as many, until one is left.

    Successive halving (Jamieson and Talwalkar, https://arxiv.org/abs/1502.07943); every run has a
    whole schedule, since a rate is only as good as where it ends. The dev measure is looked at
    before and after each run alone. In all it takes `steps` times the number of rates, for every
    time that halves them. Runs are kept in `output`, their models are not: what broke off goes on.
    Raises as `train` does.
    """
    if len(set(learning_rates)) < 2:
        raise ConfigError(f"a sweep needs two learning rates at least; got {learning_rates}")
    rounds: list[Mapping[float, float]] = []
    left = list(dict.fromkeys(learning_rates))
    while len(left) > 1:
        found = {}
        for rate in left:
            run = Path(output) / f"{rate:g}-{steps}"
            trained = train(
                groups,
                base=base,
                output=run,
                settings=replace(
                    settings, learning_rate=rate, max_steps=steps, evaluate_every=steps
                ),
                evaluator=evaluator,
                on_progress=on_progress,
            )
            shutil.rmtree(trained.model, ignore_errors=True)
            found[rate] = -math.inf if trained.failed else trained.curve[-1].measure or 0.0
        rounds.append(found)
        left = sorted(left, key=lambda rate: -found[rate])[: -(-len(left) // 2)]
        steps *= 2
    return Swept(replace(settings, learning_rate=left[0]), rounds)
