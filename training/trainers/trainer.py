"""The Hugging Face Trainer, taught groups: a step is so many groups, in as many forward passes as
memory asks for.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.utils import logging as its_logging

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError, OutOfMemoryError
from retrieve_rerank.models.causal.pretrained import said, silent
from retrieve_rerank.models.runtimes.torch import out_of_memory
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers.drawing import Steps
from retrieve_rerank.training.trainers.guards import Guards, Seen
from retrieve_rerank.training.trainers.layers import parameter_groups
from retrieve_rerank.training.trainers.network import Network, Outcome, TokenSequence
from retrieve_rerank.training.trainers.objective import Objective
from retrieve_rerank.training.trainers.passes import passes
from retrieve_rerank.training.trainers.settings import TrainerSettings

MEASURE = "eval_measure"


class GroupTrainer(Trainer):
    """Trains a `Network`; checkpoints appear whole or not at all."""

    def __init__(
        self,
        network: Network[Any],
        objective: Objective,
        steps: Steps,
        *,
        settings: TrainerSettings,
        folder: Path,
        evaluator: Callable[[Scorer], float] | None,
        callbacks: Sequence[Any],
    ) -> None:
        self._network = network
        self._objective = objective
        self._settings = settings
        self._folder = folder
        self._staging: Path | None = None
        self._evaluator = evaluator
        self._guards = Guards(steps=len(steps), learning_rate=settings.learning_rate)
        self.pairs_seen = 0
        self.last_loss = math.nan
        super().__init__(
            model=network.trained,
            args=_arguments(settings, steps=len(steps), folder=folder, evaluates=bool(evaluator)),
            train_dataset=steps,
            eval_dataset=[],
            data_collator=lambda items: items[0],
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Add up a step's gradient over its forward passes, and return its loss."""
        model.train()
        groups: list[Group] = inputs
        network, objective = self._network, self._objective
        read = [network.read(group) for group in groups]
        labels, teacher = network.targets(groups, objective)
        tokens = network.token_counts([sequence for sequences in read for sequence in sequences])
        counts = objective.counts(labels, teacher, tokens)
        spreads: list[float] = []
        loss = 0.0
        for places in self._passes(read):
            outcome = self._forward([read[place] for place in places])
            targets = network.targets([groups[place] for place in places], objective)
            part = objective.loss(
                outcome.scores, outcome.tokens, *targets, counts=counts, lower=outcome.lower
            )
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
            if objective.mixture:
                spreads += _spreads(outcome.scores.detach(), targets[0])
        self.pairs_seen += sum(map(len, read))
        equal = objective.loss_if_equal(
            labels,
            teacher,
            log_vocabulary=network.log_vocabulary,
            lower_heads=network.lower_heads,
        )
        spread = sum(spreads) / len(spreads) if spreads else None
        self._guards.see(self.state.global_step + 1, Seen(loss, equal, spread))
        self.last_loss = loss
        return torch.tensor(loss, device=network.device)

    @property
    def evaluates(self) -> bool:
        """Whether there is a dev measure."""
        return self._evaluator is not None

    @property
    def first_step(self) -> int:
        """The step from which this call went on."""
        return int(self._initial_global_step)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Ask the evaluator what the network is worth now."""
        assert self._evaluator is not None  # the Trainer asks only where there is one
        self._network.network.eval()  # until the next step
        metrics = {MEASURE: float(self._evaluator(self._network.scorer()))}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def create_optimizer(self, model: Any = None) -> Any:
        """Make AdamW with each layer's learning rate."""
        if self.optimizer is None:
            groups = parameter_groups(self._network.trained, self._settings)
            self.optimizer = torch.optim.AdamW(groups, lr=self._settings.learning_rate)
        return self.optimizer

    def floating_point_ops(self, inputs: Any) -> int:
        """Count none: groups are no tensors."""
        return 0

    def _passes(self, groups: Sequence[Sequence[TokenSequence]]) -> list[list[int]]:
        lengths = [[len(sequence.ids) for sequence in group] for group in groups]
        return passes(lengths, budget=self._network.token_budget, padded=self._network.padded)

    def _forward(self, groups: Sequence[Sequence[TokenSequence]]) -> Outcome:
        try:
            return self._network.forward(groups)
        except Exception as exc:
            if out_of_memory(exc):
                lengths = [len(sequence.ids) for group in groups for sequence in group]
                raise OutOfMemoryError(
                    f"out of memory on {len(lengths)} texts of up to {max(lengths)} tokens: lower"
                    f" token_budget (now {self._network.token_budget:,}), group_size or max_tokens"
                ) from exc
            raise

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        self._guards.see_gradient(self.state.global_step + 1, float(norm))
        return norm

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self._folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save beside, then rename: whatever breaks off leaves the last good checkpoint."""
        self._staging = self._folder / STAGING
        shutil.rmtree(self._staging, ignore_errors=True)
        name = f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            os.replace(self._staging / name, self._folder / name)
        except Exception as exc:  # safetensors, torch and Python each raise errors of their own
            free = shutil.disk_usage(self._folder).free >> 20  # torch's does not say what is wrong
            raise InputError(
                f"cannot write {self._folder / name}: {said(exc)} ({free:,} MiB are free there);"
                " checkpoints before it are kept, and the same call goes on from the last one"
            ) from exc
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        kept = {self.state.global_step, self.state.best_global_step}
        for step, old in checkpoints(self._folder):
            if step not in kept:
                shutil.rmtree(old)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save the weights; not the arguments, which would be a pickle."""
        with silent():
            self._network.trained.save_pretrained(output_dir)


def _spreads(scores: Tensor, labels: Tensor) -> list[float]:
    """Return how far apart the scores of each group are that has several."""
    texts = ~labels.isnan()
    rows = [row[there] for row, there in zip(scores, texts, strict=True)]
    return [float(row.max() - row.min()) for row in rows if len(row) > 1]


STAGING = ".saving"


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return whole checkpoints with their steps, in their order."""
    found = ((path.name.rpartition("-")[2], path) for path in folder.glob("checkpoint-*"))
    return sorted((int(step), path) for step, path in found if step.isdecimal())


def _arguments(
    settings: TrainerSettings, *, steps: int, folder: Path, evaluates: bool
) -> TrainingArguments:
    warmup = round(settings.warmup * steps)
    stable = round(settings.stable * steps)
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,  # one step, which is a whole batch of groups
        train_sampling_strategy="sequential",  # `Steps` has shuffled them
        lr_scheduler_type="warmup_stable_decay",
        warmup_steps=warmup,
        lr_scheduler_kwargs={"num_decay_steps": steps - warmup - stable},
        max_grad_norm=settings.max_gradient,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=settings.evaluate_every,
        save_strategy="steps",
        save_steps=settings.evaluate_every,
        metric_for_best_model=MEASURE if evaluates else None,
        greater_is_better=True if evaluates else None,
        logging_steps=math.ceil(steps / 100),
        report_to=list(settings.report_to) or "none",
        use_cpu=settings.device == "cpu",
        seed=settings.seed,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="critical",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep other libraries' warnings to themselves: progress is told by `on_progress` alone."""
    level = its_logging.get_verbosity()
    its_logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        its_logging.set_verbosity(level)
