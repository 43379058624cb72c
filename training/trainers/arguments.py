"""What the Hugging Face Trainer is told."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import TrainingArguments
from transformers.utils import logging as its_logging

from retrieve_rerank.training.trainers.settings import TrainerSettings

MEASURE = "eval_measure"


def arguments(
    settings: TrainerSettings,
    *,
    steps: int,
    folder: Path,
    evaluates: bool,
    on_cpu: bool,
) -> TrainingArguments:
    """Return the settings as the Trainer has them; each look at the dev measure is a checkpoint.

    `Watcher` asks for others by the clock.
    """
    warmup = round(settings.warmup * steps)
    stable = round(settings.stable * steps)
    made = TrainingArguments(
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
        use_cpu=on_cpu,
        ddp_broadcast_buffers=False,  # nothing changes them
        ddp_find_unused_parameters=False,  # every pass uses all that is trained
        seed=settings.seed,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="critical",
    )
    made._n_gpu = min(made.n_gpu, 1)  # a process takes one, and there is no DataParallel
    return made


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
