"""One training by each of the contenders, on the same groups, and a clock of its steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers.cross_encoder import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import ListNetLoss
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from retrieve_rerank.training import Group
from retrieve_rerank.training.trainers import TrainerSettings, train


class Clock(TrainerCallback):
    """Times steps, all but the first, which warms up."""

    def __init__(self) -> None:
        self._begun = self._ended = 0.0

    @property
    def seconds(self) -> float:
        """From the end of the first step to that of the last."""
        return self._ended - self._begun

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin with the second step."""
        if state.global_step == 1:
            self._begun = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep when the latest one ended."""
        self._ended = _now()


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # what was asked of the GPU may still be at work
    return time.perf_counter()


def train_ours(
    groups: Sequence[Group], settings: TrainerSettings, *, base: str, clock: Clock
) -> list[float]:
    """Train as rr train does, and return the losses."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train(groups, base=base, output=folder, settings=settings, callbacks=[clock])
    return [point.loss for point in trained.curve if point.loss is not None]


def train_theirs(
    groups: Sequence[Group],
    settings: TrainerSettings,
    *,
    base: str,
    clock: Clock,
    tuned: bool = False,
) -> None:
    """Train with sentence-transformers, listwise on the same groups.

    `tuned` sorts texts by length, so that there is less padding, and has no dropout of attention.
    """
    if tuned:
        groups = sorted(groups, key=lambda group: max(len(text.text) for text in group.texts))
    rows = [
        {
            "query": group.query,
            "docs": [text.text for text in group.texts],
            "labels": [text.label for text in group.texts],
        }
        for group in groups
    ]
    model = CrossEncoder(
        base,
        num_labels=1,
        max_length=settings.max_tokens,
        device=settings.device,
        config_kwargs={"attention_probs_dropout_prob": 0.0} if tuned else {},
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = CrossEncoderTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                output_dir=folder,
                max_steps=settings.max_steps or -1,
                per_device_train_batch_size=settings.batch_size,
                train_sampling_strategy="sequential" if tuned else "random",
                learning_rate=settings.learning_rate,
                use_cpu=settings.device == "cpu",
                bf16=bool(settings.bf16),
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            loss=ListNetLoss(model),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
