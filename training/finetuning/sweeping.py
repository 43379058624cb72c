"""The learning rate of a run: chosen by short trainings, where the long one leaves time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from retrieve_rerank.base import Scorer
from retrieve_rerank.training.finetuning.plan import Plan
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers import sweep
from retrieve_rerank.training.trainers.sweep import work


def with_best_rate(
    settings: FinetuneSettings,
    groups: Sequence[Group],
    look: Callable[[Scorer], float],
    *,
    plan: Plan,
    folder: RunFolder,
    watch: Watch,
) -> FinetuneSettings:
    """Return the settings with the learning rate that is worth most on the dev queries.

    As they are where the plan has no time for that. What was tried is written into the folder.
    """
    if not plan.sweep_steps:
        return settings
    total = work()[0] * plan.sweep_steps
    with watch.progress("trying learning rates", total, "steps") as advance:
        swept = sweep(
            groups,
            base=settings.base,
            output=folder.path / "sweep",
            evaluator=look,
            steps=plan.sweep_steps,
            settings=replace(settings.trainer, batch_size=plan.batch_size),
            on_progress=lambda told: advance(1),
        )
    watch.tell(swept)
    rate = swept.settings.learning_rate
    tried = [{f"{rate:g}": worth for rate, worth in each.items()} for each in swept.rounds]
    folder.write("sweep", {"learning_rate": rate, "rounds": tried})
    return replace(settings, trainer=replace(settings.trainer, learning_rate=rate))
