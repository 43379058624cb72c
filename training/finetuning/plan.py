"""What a run will do, and how long it will take: told before it begins, and written down.

Times are estimates from a few seconds of searching and training on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.doubtful import BESIDE
from retrieve_rerank.training.finetuning.settings import FinetuneSettings

FEWEST_STEPS = 20
"""Steps below which the learning rate has hardly risen: no training to speak of."""

AMPLE_STEPS = 200
"""Steps that smaller batches are to bring about where there are fewer pairs than these need."""

SMALLEST_BATCH = 4
"""Groups, below which a step's direction says little."""

MOST_ROUNDS = 4
"""Through the training queries, where the minutes suffice: negatives are drawn anew in each, and
the checkpoint that is best on dev queries is kept."""

FORWARD = 3
"""Times that a pair is faster to score than to train on: the backward pass takes twice the
forward one (Kaplan et al., https://arxiv.org/abs/2001.08361, §2.1)."""

CHECKED = 0.1
"""Share of the training time that looking for wrong positives may take at most."""

_FEWER = ((3, 30, 50), (3, 20, 30), (2, 20, 30), (2, 20, 20), (1, 10, 20))
"""What is measured where there is less time: looks, depth on dev queries, depth in the end."""

_FIXED_S = 60.0  # loading, exporting, writing the report


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured on this machine."""

    searches_per_s: float
    pairs_per_s: float
    """Trained."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do."""

    index: str
    base: str
    splits: Mapping[str, int]
    """Split -> queries that are used."""
    steps: int
    mined_queries: int
    """Training queries that are searched for."""
    batch_size: int
    """Groups a step."""
    pairs: int
    """Of query and text that are trained on, with repetitions."""
    evaluate_every: int
    dev_depth: int
    """How many hits are reranked where the dev measure is looked at during training."""
    depth: int
    """How many hits the trained model may rerank at most."""
    checked_queries: int
    """Training queries whose positives are checked afterwards."""
    searches_per_s: float
    pairs_per_s: float
    """Trained pairs, as measured."""
    seconds: Mapping[str, float]
    """What each part is estimated to take."""

    @property
    def total_s(self) -> float:
        """Estimated seconds of all parts."""
        return sum(self.seconds.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def make_plan(
    splits: Mapping[str, int],
    settings: FinetuneSettings,
    speed: Speed,
    *,
    index: str,
    mined: bool = True,
) -> Plan:
    """Settle on the number of steps; raise ConfigError where `minutes` do not suffice.

    What is measured shrinks where it would take more than half of the minutes. Where groups are not
    `mined`, as they are there already, no query is searched for to train on.
    """
    search_s = 1 / speed.searches_per_s if mined else 0.0
    trainer = settings.trainer
    group_s = trainer.group_size / speed.pairs_per_s
    for looks, dev_depth, depth in _reaches(settings):
        fixed = _fixed_s(splits, speed, looks=looks, dev_depth=dev_depth, depth=depth)
        if settings.minutes is None or sum(fixed.values()) <= settings.minutes * 60 / 2:
            break
    replayed = splits.get("replayed", 0)
    groups = _most_groups(splits["train"] + replayed, settings)
    if settings.minutes is not None:
        left = settings.minutes * 60 - sum(fixed.values())
        each_s = group_s * (1 + CHECKED)
        # Each query is searched for once, however often its group comes.
        first_round = int(left / (each_s + search_s))
        fitting = max(first_round, int((left - splits["train"] * search_s) / each_s))
        least = min(FEWEST_STEPS * SMALLEST_BATCH, groups)
        if fitting < least:
            needed = sum(fixed.values()) + least * (each_s + search_s)
            raise ConfigError(
                f"{settings.minutes:g} minutes do not suffice: measuring alone takes about"
                f" {sum(fixed.values()) / 60:.0f} here. Give at least {math.ceil(needed / 60)}"
                " minutes, fewer test and dev queries, or a smaller depth"
            )
        groups = min(groups, fitting)
    batch_size = trainer.batch_size
    halved = trainer.max_steps is None  # whoever counts steps means steps of that size
    while halved and batch_size >= 2 * SMALLEST_BATCH and groups < AMPLE_STEPS * batch_size:
        batch_size //= 2
    steps = max(1, groups // batch_size)
    step_s = batch_size * group_s
    own = splits["train"] / (splits["train"] + replayed)
    used = min(splits["train"], math.ceil(own * steps * batch_size))
    searched = used if mined else 0
    checked_s = (1 + BESIDE) / (FORWARD * speed.pairs_per_s)
    checked = min(used, max(1, int(CHECKED * steps * step_s / checked_s)))
    return Plan(
        index=index,
        base=settings.base,
        splits=dict(splits),
        steps=steps,
        mined_queries=searched,
        batch_size=batch_size,
        pairs=steps * batch_size * trainer.group_size,
        evaluate_every=max(1, math.ceil(steps / looks)),
        dev_depth=dev_depth,
        depth=depth,
        checked_queries=checked,
        searches_per_s=speed.searches_per_s,
        pairs_per_s=speed.pairs_per_s,
        seconds={
            "mining": searched * search_s,
            "training": steps * step_s,
            "checking positives": checked * checked_s,
            **fixed,
        },
    )


def _most_groups(train: int, settings: FinetuneSettings) -> int:
    """Tell how many groups there are to train on, however long it takes."""
    trainer = settings.trainer
    if trainer.max_steps is not None:
        return trainer.max_steps * trainer.batch_size
    rounds = trainer.epochs if settings.minutes is None else max(trainer.epochs, MOST_ROUNDS)
    return math.ceil(rounds * train)


def _reaches(settings: FinetuneSettings) -> Iterator[tuple[int, int, int]]:
    """Yield (looks at the dev queries, depth there, depth in the end), the most thorough first."""
    asked = (settings.looks, settings.dev_depth, settings.depth)
    yield asked
    for fewer in _FEWER:
        looks, dev_depth, depth = (min(pair) for pair in zip(asked, fewer, strict=True))
        yield looks, dev_depth, depth


def _fixed_s(
    splits: Mapping[str, int], speed: Speed, *, looks: int, dev_depth: int, depth: int
) -> dict[str, float]:
    """Estimate the seconds of everything but mining and training."""
    scored_per_s = FORWARD * speed.pairs_per_s
    protected = splits.get("protected", 0)
    return {
        "looking at dev queries": (looks + 1) * splits["dev"] * dev_depth / scored_per_s,
        "placing and calibrating": (2 * splits["dev"] * depth + splits["calibration"] * dev_depth)
        / scored_per_s,
        "proving": (3 * splits["test"] + 2 * protected) / speed.searches_per_s
        + (splits["test"] + protected) * depth / scored_per_s,
        "the rest": _FIXED_S,
    }
