"""Which learning rate suits a base and its data, by successive halving."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.launching import alone
from retrieve_rerank.training.trainers.result import Progress, scorer_class
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
    whole schedule, since a rate is only as good as where it ends, and is measured there. How much
    that is, `work` tells. Runs are kept in `output`, their models are not: what broke off goes on.
    Raises as `train` does.
    """
    alone("a sweep")
    if settings.reranker:
        scorer_class(settings.reranker)  # which its runs are measured by
    if len(set(learning_rates)) < 2:
        raise ConfigError(f"a sweep needs two learning rates at least; got {learning_rates}")
    rounds: list[Mapping[float, float]] = []
    left = list(dict.fromkeys(learning_rates))
    while len(left) > 1:
        found = {
            rate: _measure(
                groups,
                base=base,
                run=Path(output) / f"{rate:g}-{steps}",
                evaluator=evaluator,
                settings=replace(
                    settings, learning_rate=rate, max_steps=steps, evaluate_every=steps
                ),
                on_progress=on_progress,
            )
            for rate in left
        }
        rounds.append(found)
        left = sorted(left, key=lambda rate: -found[rate])[: _half(len(left))]
        steps *= 2
    return Swept(replace(settings, learning_rate=left[0]), rounds)


def work(rates: int = len(LEARNING_RATES)) -> tuple[int, int]:
    """Return how many times a sweep takes its `steps`, and how often it looks at the measure."""
    steps, looks, longer = 0, 0, 1
    while rates > 1:
        steps, looks = steps + rates * longer, looks + rates
        rates, longer = _half(rates), 2 * longer
    return steps, looks


def _half(count: int) -> int:
    return -(-count // 2)


def _measure(
    groups: Sequence[Group],
    *,
    base: str,
    run: Path,
    evaluator: Callable[[Scorer], float],
    settings: TrainerSettings,
    on_progress: Callable[[Progress], None] | None,
) -> float:
    """Train one run, and return what it is worth: −inf where a guard stopped it."""
    file = run / "measure.json"
    if not file.is_file():
        trained = train(groups, base=base, output=run, settings=settings, on_progress=on_progress)
        worth = None if trained.failed else evaluator(trained.scorer())
        write_json(file, {"measure": worth})
        shutil.rmtree(trained.model, ignore_errors=True)
    worth = json.loads(file.read_text(encoding="utf-8"))["measure"]
    return -math.inf if worth is None else float(worth)
