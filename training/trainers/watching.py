"""What happens beside the steps of training: looks at the dev measure, progress, an early end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from retrieve_rerank.training.trainers.arguments import MEASURE
from retrieve_rerank.training.trainers.guards import warn_if_below
from retrieve_rerank.training.trainers.result import CurvePoint, Progress
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.trainer import GroupTrainer

logger = logging.getLogger(__name__)


class Watcher(TrainerCallback):
    """Looks at the dev measure before the first and after the last step; ends training early."""

    trainer: GroupTrainer

    def __init__(
        self,
        settings: TrainerSettings,
        *,
        floor: float | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._settings = settings
        self._floor = floor
        self._on_progress = on_progress
        self._seconds = 0.0
        self._taken = 0  # steps in this call
        self._started = 0.0
        self.stopped: str | None = None
        self.warning: str | None = None

    @property
    def pairs_per_s(self) -> float:
        """Pairs trained a second since this call began, without the looks at the dev measure."""
        return self.trainer.pairs_seen / self._seconds if self._seconds else 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the dev measure once before the first step."""
        if state.global_step == 0 and self.trainer.evaluates:
            self.trainer.evaluate()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the time."""
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell of the step, and look at the dev measure after the last one."""
        self._seconds += time.perf_counter() - self._started
        self._taken += 1
        if state.global_step == state.max_steps and self.trainer.evaluates:
            control.should_evaluate = True
        if self.trainer.checkpoint_due:
            control.should_save = True
        if self._on_progress is not None:
            measures = [each for _, each in measured(state.log_history)]
            self._on_progress(
                Progress(
                    step=state.global_step,
                    steps=state.max_steps,
                    loss=self.trainer.last_loss,
                    measure=measures[-1] if measures else None,
                    pairs_per_s=self.pairs_per_s,
                    seconds_left=self._seconds
                    / self._taken
                    * (state.max_steps - state.global_step),
                )
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End training where the measure has not risen for long; warn where it stays too low."""
        looks = measured(state.log_history)
        self.stopped = out_of_patience(looks, self._settings.patience)
        if self.stopped:
            control.should_training_stop = True
        floor = looks[0][1] if self._floor is None else self._floor
        warning = warn_if_below(
            [each for _, each in looks[1:]],
            floor=floor,
            spent=state.global_step / state.max_steps,
        )
        if warning and not self.warning:
            if state.is_world_process_zero:
                logger.warning(warning)
            self.warning = warning


def measured(history: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Return each look at the dev measure: the step and what it was."""
    return [(int(entry["step"]), float(entry[MEASURE])) for entry in history if MEASURE in entry]


def curve(history: Sequence[Mapping[str, Any]]) -> list[CurvePoint]:
    """Return the learning curve that the Hugging Face Trainer has kept."""
    losses = {int(entry["step"]): float(entry["loss"]) for entry in history if "loss" in entry}
    measures = dict(measured(history))
    return [
        CurvePoint(step, losses.get(step), measures.get(step))
        for step in sorted({*losses, *measures})
    ]


def out_of_patience(looks: Sequence[tuple[int, float]], patience: int | None) -> str | None:
    """Say that so many looks in a row were no better than one before them."""
    if patience is None or not looks:
        return None
    best = max(range(len(looks)), key=lambda place: looks[place][1])
    if len(looks) - 1 - best < patience:
        return None
    step, measure = looks[best]
    return (
        f"stopped early: the dev measure was best, {measure:.4f}, at step {step}, and no better in"
        f" the {patience} looks since"
    )
