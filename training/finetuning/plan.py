"""What a run will do, and how long it will take: told before it begins, and written down.

Times are estimates from a few seconds of searching and training on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.doubtful import BESIDE
from retrieve_rerank.training.finetuning.settings import CROSS_FIT, FinetuneSettings
from retrieve_rerank.training.finetuning.speed import Speed, Today
from retrieve_rerank.training.mining.veto import DEEP
from retrieve_rerank.training.trainers.sweep import work

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
"""Share of the training time that looking for wrong positives may take, where time is limited."""

VETO_QUERIES = 100
"""Judged queries that a veto's threshold is fitted on: a quarter of 100 positives lies below it,
give or take 4."""

_FEWER = ((3, 30, 50), (3, 20, 30), (2, 20, 30), (2, 20, 20), (1, 10, 20))
"""What is measured where there is less time: looks, depth on dev queries, depth in the end."""

_FIXED_S = 60.0  # loading, exporting, writing the report
_FOLD_S = 30.0  # loading and exporting once more


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do."""

    index: str
    base: str
    licence: str | None
    """Of the base, where it names one."""
    splits: Mapping[str, int]
    """Split -> queries that are used."""
    folds: int
    """Trainings that judge the procedure, where too few queries can be held out to judge one model;
    one more makes the model."""
    steps: int
    """Of one training."""
    mined_queries: int
    """Training queries that are searched for."""
    batch_size: int
    """Groups a step."""
    sweep_steps: int
    """Of the shortest trainings that choose the learning rate; 0 where there are none."""
    pairs: int
    """Of query and text that are trained on, with repetitions, in all trainings."""
    evaluate_every: int
    dev_depth: int
    """How many hits are reranked where the dev measure is looked at during training."""
    depth: int
    """How many hits the trained model may rerank at most."""
    todays_depth: int
    """How many hits today's last stage may rerank at most where it is re-tuned."""
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
    licence: str | None = None,
    mined: bool = True,
    folds: int = 0,
    spent_s: float = 0.0,
) -> Plan:
    """Settle on the number of steps; raise ConfigError where `minutes` do not suffice.

    What is measured shrinks where it would take more than half of the minutes that are left when
    `spent_s` seconds of them are gone. Where groups are not `mined`, as they are there already, no
    query is searched for to train on. With `folds` there is a training without each fold, and one
    of all queries.
    """
    trainings = folds + 1
    # Queries that are mined for each that a training is given.
    mined_each = folds / (folds - 1) if folds > 1 else 1.0
    left = math.inf if settings.minutes is None else settings.minutes * 60 - spent_s
    query_s = 0.0
    if mined:
        query_s = 1 / speed.searches_per_s + _veto_s(settings, speed)
    trainer = settings.trainer
    cross_fit = settings.veto == CROSS_FIT  # two trainings of half the steps
    group_s = _pairs_each(settings) / speed.pairs_per_s
    for reach in _reaches(settings, speed.today):
        fixed = _fixed_s(splits, speed, reach, folds=folds) | _fitting_s(settings, speed)
        if sum(fixed.values()) <= left / 2:
            break
    replayed = splits.get("replayed", 0)
    groups = _most_groups(int(splits["train"] / mined_each) + replayed, settings)
    if settings.minutes is not None:
        left -= sum(fixed.values())
        each_s = group_s * (trainings + cross_fit + CHECKED)
        # Each query is searched for once, however often its group comes.
        first_round = int(left / (each_s + mined_each * query_s))
        fitting = max(first_round, int((left - splits["train"] * query_s) / each_s))
        least = min(FEWEST_STEPS * SMALLEST_BATCH, groups)
        if fitting < least:
            needed = spent_s + sum(fixed.values()) + least * (each_s + mined_each * query_s)
            raise ConfigError(
                f"{settings.minutes:g} minutes do not suffice: measuring alone takes about"
                f" {sum(fixed.values()) / 60:.0f} here, and {spent_s / 60:.0f} are gone."
                f" Give at least {math.ceil(needed / 60)} minutes, fewer test and dev queries,"
                " or a smaller depth"
            )
        groups = min(groups, fitting)
    batch_size = trainer.batch_size
    halved = trainer.max_steps is None  # whoever counts steps means steps of that size
    while halved and batch_size >= 2 * SMALLEST_BATCH and groups < AMPLE_STEPS * batch_size:
        batch_size //= 2
    steps = max(1, groups // batch_size)
    step_s = batch_size * group_s
    own = splits["train"] / (splits["train"] + replayed)
    used = min(splits["train"], math.ceil(own * steps * batch_size * mined_each))
    searched = used if mined else 0
    checked_s = (1 + BESIDE) / (FORWARD * speed.pairs_per_s)
    checked = used
    if settings.minutes is not None:
        checked = min(used, max(1, int(CHECKED * steps * step_s / checked_s)))
    training_s = trainings * steps * step_s
    checking_s = checked * checked_s
    sweep_steps, sweep_s = 0, 0.0
    if settings.sweep and settings.minutes is not None and not folds:
        rest_s = checking_s + searched * query_s + cross_fit * steps * step_s
        look_s = splits["dev"] * reach.dev_depth / (FORWARD * speed.pairs_per_s)
        # What the long training leaves, as much as itself at most.
        spare_s = min(left - training_s - rest_s, training_s)
        sweep_steps, sweep_s = _sweep(spare_s, steps, step_s=step_s, look_s=look_s)
    return Plan(
        index=index,
        base=settings.base,
        licence=licence,
        splits=dict(splits),
        folds=folds,
        steps=steps,
        mined_queries=searched,
        batch_size=batch_size,
        sweep_steps=sweep_steps,
        pairs=trainings * steps * batch_size * trainer.group_size,
        evaluate_every=max(1, math.ceil(steps / reach.looks)),
        dev_depth=reach.dev_depth,
        depth=reach.depth,
        todays_depth=reach.todays_depth,
        checked_queries=checked,
        searches_per_s=speed.searches_per_s,
        pairs_per_s=speed.pairs_per_s,
        seconds={
            "so far": spent_s,
            "mining": searched * query_s,
            **({"training for the veto": steps * step_s} if cross_fit else {}),
            **({"trying learning rates": sweep_s} if sweep_steps else {}),
            "training": training_s,
            "checking positives": checking_s,
            **fixed,
        },
    )


def _sweep(spare_s: float, steps: int, *, step_s: float, look_s: float) -> tuple[int, float]:
    """Return the steps of a sweep's shortest trainings, and its seconds; none where time lacks.

    The longest have twice as many: half of the long training's at most.
    """
    times, looks = work()
    fitting = min(int((spare_s - looks * look_s) / (times * step_s)), steps // 4)
    if fitting < FEWEST_STEPS:
        return 0, 0.0
    return fitting, fitting * times * step_s + looks * look_s


def _pairs_each(settings: FinetuneSettings) -> float:
    """Tell what a group's step takes, in trained pairs: to mine again is to score all of it."""
    size = settings.trainer.group_size
    return size + (1 + settings.negatives) / FORWARD if settings.trainer.remine else size


def _veto_s(settings: FinetuneSettings, speed: Speed) -> float:
    """Estimate the seconds that a veto takes for a query, if it is as fast as what is trained."""
    if settings.veto is None:
        return 0.0
    scored_s = (1 + settings.negatives) / (FORWARD * speed.pairs_per_s)
    # A cross-fitted one has every query searched for twice.
    return scored_s + (1 / speed.searches_per_s if settings.veto == CROSS_FIT else 0.0)


def _fitting_s(settings: FinetuneSettings, speed: Speed) -> dict[str, float]:
    """Estimate the seconds that the veto's thresholds take to fit."""
    if settings.veto is None:
        return {}
    models = 2 if settings.veto == CROSS_FIT else 1
    texts = models * VETO_QUERIES * (1 + DEEP)
    return {"fitting the veto": texts / (FORWARD * speed.pairs_per_s)}


def _most_groups(train: int, settings: FinetuneSettings) -> int:
    """Tell how many groups there are to train on, however long it takes."""
    trainer = settings.trainer
    if trainer.max_steps is not None:
        return trainer.max_steps * trainer.batch_size
    rounds = trainer.epochs if settings.minutes is None else max(trainer.epochs, MOST_ROUNDS)
    return math.ceil(rounds * train)


class _Reach(NamedTuple):
    """How thoroughly is measured."""

    looks: int
    dev_depth: int
    depth: int
    todays_depth: int


def _reaches(settings: FinetuneSettings, today: Today | None) -> Iterator[_Reach]:
    """Yield the most thorough first; today's last stage keeps the depth that it has, at least."""
    asked = (settings.looks, settings.dev_depth, settings.depth)
    yield _Reach(*asked, today.candidates if today else 0)
    for each in _FEWER:
        looks, dev_depth, depth = (min(pair) for pair in zip(asked, each, strict=True))
        yield _Reach(looks, dev_depth, depth, max(depth, today.depth) if today else 0)


def _fixed_s(
    splits: Mapping[str, int], speed: Speed, reach: _Reach, *, folds: int
) -> dict[str, float]:
    """Estimate the seconds of everything but mining and training."""
    dev, test, today = splits["dev"], splits["test"], speed.today
    scored_per_s = FORWARD * speed.pairs_per_s
    protected = splits.get("protected", 0)
    search_s = 1 / speed.searches_per_s
    # Before, re-tuned, and after; without stages before and re-tuned are the first stage.
    compared_s = search_s
    retuning_s = 0.0
    if today is not None:
        compared_s = today.search_s(today.depth)
    if today is not None and today.tunable:
        compared_s += today.search_s(reach.todays_depth)
        retuning_s = dev * today.search_s(reach.todays_depth)
    trained_s = search_s + reach.depth / scored_per_s
    return {
        "re-tuning what serves today": retuning_s,
        "looking at dev queries": max(1, folds)
        * (reach.looks + 1)
        * dev
        * reach.dev_depth
        / scored_per_s,
        "placing and calibrating": (
            (folds + 1) * 2 * dev * reach.depth + splits["calibration"] * reach.dev_depth
        )
        / scored_per_s,
        "proving": test * (compared_s + trained_s) + protected * (search_s + trained_s),
        "the rest": _FIXED_S + folds * _FOLD_S,
    }
