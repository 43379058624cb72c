"""The Hugging Face Trainer, taught groups: a step is so many groups, shared by all processes, in as
many forward passes as memory asks for.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, set_seed

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError, OutOfMemoryError
from retrieve_rerank.models.causal.pretrained import said, silent
from retrieve_rerank.models.checkpoints.version_record import write_json
from retrieve_rerank.models.runtimes.torch import out_of_memory
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers.arguments import MEASURE, arguments
from retrieve_rerank.training.trainers.drawing import Steps
from retrieve_rerank.training.trainers.guards import Guards, Seen
from retrieve_rerank.training.trainers.hard_negatives import remine
from retrieve_rerank.training.trainers.layers import parameter_groups
from retrieve_rerank.training.trainers.network import Network, Outcome, TokenSequence
from retrieve_rerank.training.trainers.objective import Objective, learnt
from retrieve_rerank.training.trainers.passes import cut, passes
from retrieve_rerank.training.trainers.processes import Processes, lost
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.sharding import divides_weights, sharding
from retrieve_rerank.training.trainers.wrapping import Door


class GroupTrainer(Trainer):
    """Trains a `Network`; checkpoints appear whole or not at all."""

    def __init__(
        self,
        network: Network[Any],
        objective: Objective,
        steps: Steps,
        *,
        settings: TrainerSettings,
        processes: Processes,
        folder: Path,
        evaluator: Callable[[Scorer], float] | None,
        callbacks: Sequence[Any],
    ) -> None:
        self._network = network
        self._objective = objective
        self._settings = settings
        self._steps = steps
        self._processes = processes
        self._folder = folder
        self._staging: Path | None = None
        self._evaluator = evaluator
        self._guards = Guards(steps=len(steps), learning_rate=settings.learning_rate)
        self.pairs_seen = 0
        """By all processes."""
        self.last_loss = math.nan
        self.checkpoint_due = False
        """Whether it is long ago, by the first process's clock, that one was saved."""
        self._saved_at, self._saving_s = time.monotonic(), 0.0
        on_cpu = network.device.type == "cpu"
        super().__init__(
            model=Door(network.trained),
            args=arguments(
                settings,
                steps=len(steps),
                folder=folder,
                evaluates=bool(evaluator),
                on_cpu=on_cpu,
            ),
            train_dataset=steps,
            eval_dataset=[],
            data_collator=lambda items: items[0],
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)
        self.sharding = sharding(self.accelerator.state)
        """What divides weights or optimizer among the processes; None where nothing is."""
        if settings.remine and divides_weights(self.sharding):
            raise ConfigError(
                f"remine scores texts in each process by itself, and {self.sharding} leaves it a"
                " part of the weights: leave one of them out"
            )
        set_seed(settings.seed + processes.rank)  # of dropout, which is to differ

    def get_train_dataloader(self) -> Any:
        """Give each process all groups of each step, of which `training_step` takes its share."""
        return DataLoader(self._steps, batch_size=1, collate_fn=self.data_collator)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Add up a step's gradient over its forward passes, and return its loss.

        Losses are divided by what all processes have together, and gradients averaged over them:
        hence each loss counts as often as there are processes.
        """
        network, objective, processes = self._network, self._objective, self._processes
        groups: list[Group] = inputs
        if self._settings.remine:
            model.eval()
            size, contrastive = self._settings.group_size, objective.contrastive
            groups = remine(groups, network, processes, size=size, contrastive=contrastive)
        model.train()
        labels, teacher = network.targets(groups, objective)
        own = groups[processes.rank :: processes.count]
        read = [network.read(group) for group in own]
        tokens = network.token_counts([sequence for sequences in read for sequence in sequences])
        planned = self._passes(read)
        # As many passes everywhere, since in each of them the processes wait for one another.
        of_passes, *of_tokens = zip(*processes.gather(len(planned), *tokens.values()), strict=True)
        total = {name: int(sum(each)) for name, each in zip(tokens, of_tokens, strict=True)}
        counts = objective.counts(labels, teacher, total)
        most = int(max(of_passes))
        planned = cut(planned, most)
        loss, spreads = 0.0, []
        for number in range(most):
            places, real = planned[min(number, len(planned) - 1)], number < len(planned)
            score = partial(self._score, [own[at] for at in places], [read[at] for at in places])
            with self._synchronised(model, last=number == most - 1):
                part, its_spreads = model(partial(score, counts))
                self.accelerator.backward(part * (processes.count if real else 0))
            if real:
                loss += part.item()
                spreads += its_spreads.tolist()
        pause_s = max(CHECKPOINT_S, _TIMES_AS_LONG * self._saving_s)
        due = time.monotonic() - self._saved_at > pause_s
        told = processes.gather(loss, sum(spreads), len(spreads), sum(map(len, read)), due)
        self.checkpoint_due = bool(told[0][-1])
        loss, spread, spread_count, pairs, _ = (sum(each) for each in zip(*told, strict=True))
        self.pairs_seen += int(pairs)
        equal = objective.loss_if_equal(
            labels,
            teacher,
            log_vocabulary=network.log_vocabulary,
            lower_heads=network.lower_heads,
        )
        least = objective.least_loss(labels, teacher) * (1 + network.lower_heads)
        seen = Seen(loss, equal, spread / spread_count if spread_count else None, least)
        self._guards.see(self.state.global_step + 1, seen)
        self.last_loss = loss
        return torch.tensor(loss, device=network.device)

    @property
    def evaluates(self) -> bool:
        """Whether there is a dev measure."""
        return self._evaluator is not None

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Ask the evaluator what the network is worth now."""
        assert self._evaluator is not None  # the Trainer asks only where there is one
        evaluator, network = self._evaluator, self._network
        self.model_wrapped.eval()  # until the next step
        value = math.nan
        if divides_weights(self.sharding):  # of which each process has a part that the others need
            look = partial(_look, evaluator, network)
            value = float(self.model_wrapped(look))
        elif self._processes.first:
            value = float(evaluator(network.scorer()))
        metrics = {MEASURE: self._processes.gather(value)[0][0]}
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

    @contextmanager
    def _synchronised(self, model: Any, *, last: bool) -> Iterator[None]:
        """Exchange gradients after the last pass of a step; sharded ones after each, as nobody has
        room for all of them."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        apart = not last and not divides_weights(self.sharding) and self._processes.count > 1
        with self.accelerator.no_sync(model) if apart else nullcontext():
            yield

    def _score(
        self,
        groups: Sequence[Group],
        read: Sequence[Sequence[TokenSequence]],
        counts: Mapping[str, Any],
    ) -> tuple[Tensor, Tensor]:
        """Return what some groups add to the loss, and how far apart each one's scores are."""
        objective = self._objective
        outcome = self._forward(read)
        labels, teacher = self._network.targets(groups, objective)
        loss = objective.loss(
            outcome.scores, outcome.tokens, labels, teacher, counts=counts, lower=outcome.lower
        )
        texts = learnt(labels, teacher)
        spreads = _spreads(outcome.scores.detach(), texts) if objective.mixture else []
        return loss.to(self._network.device), torch.tensor(spreads)

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
        if norm is not None:  # DeepSpeed tells it from the second step on
            self._guards.see_gradient(self.state.global_step + 1, float(norm))
        return norm

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self._folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save beside, then rename: whatever breaks off leaves the last good checkpoint."""
        first, wait, began = self._processes.first, self._processes.wait, time.monotonic()
        self._staging = self._folder / STAGING
        if first:
            shutil.rmtree(self._staging, ignore_errors=True)
        wait()
        name = f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            wait()
            if first:
                write_json(self._staging / name / _GUARDS, self._guards.state())
                os.replace(self._staging / name, self._folder / name)
        except Exception as exc:  # safetensors, torch and Python each raise errors of their own
            if lost(exc):
                raise
            free = shutil.disk_usage(self._folder).free >> 20  # torch's does not say what is wrong
            raise InputError(
                f"cannot write {self._folder / name}: {said(exc)} ({free:,} MiB are free there);"
                " checkpoints before it are kept, and the same call goes on from the last one"
            ) from exc
        finally:
            if first:
                shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        kept = {self.state.global_step, self.state.best_global_step}
        for step, old in checkpoints(self._folder):
            if first and step not in kept:
                shutil.rmtree(old)
        wait()
        self._saved_at = time.monotonic()
        self._saving_s = self._saved_at - began

    def remember(self, checkpoint: Path) -> None:
        """Have the guards go on from a checkpoint, as training will."""
        if (checkpoint / _GUARDS).is_file():  # which older ones lack
            self._guards.remember(json.loads((checkpoint / _GUARDS).read_text(encoding="utf-8")))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the whole weights, gathered where they are sharded; not the arguments, which would
        be a pickle."""
        weights = None
        if self.sharding:
            # All must ask; ZeRO-3 gives it to the first alone.
            gathered = self.accelerator.get_state_dict(self.model_wrapped) or {}
            weights = {name.removeprefix("trained."): each for name, each in gathered.items()}
        if self.args.should_save:
            with silent():
                self._network.trained.save_pretrained(output_dir, state_dict=weights)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:  # from its own files, each process its part
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            self._network.load(Path(resume_from_checkpoint))


def _look(evaluator: Callable[[Scorer], float], network: Network[Any]) -> Tensor:
    return torch.tensor(evaluator(network.scorer()), dtype=torch.float64)


def _spreads(scores: Tensor, texts: Tensor) -> list[float]:
    """Return how far apart the scores of each group are that has several."""
    rows = [row[there] for row, there in zip(scores, texts, strict=True)]
    return [float(row.max() - row.min()) for row in rows if len(row) > 1]


STAGING = ".saving"

_GUARDS = "guards.json"

CHECKPOINT_S = 120.0
"""Seconds of training that a kill may cost at most, where looks at the dev measure are rarer."""

_TIMES_AS_LONG = 20
"""How much longer is trained between two checkpoints than one takes to write, at least."""


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return whole checkpoints with their steps, in their order."""
    found = ((path.name.rpartition("-")[2], path) for path in folder.glob("checkpoint-*"))
    return sorted((int(step), path) for step, path in found if step.isdecimal())
