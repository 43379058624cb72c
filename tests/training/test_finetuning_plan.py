"""What a run will do, from speeds that are given: computed by hand."""

from __future__ import annotations

import pytest

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.finetuning.plan import Speed, make_plan
from retrieve_rerank.training.finetuning.settings import FinetuneSettings

SPLITS = {"train": 1600, "dev": 100, "calibration": 100, "test": 300}
SPEED = Speed(searches_per_s=10, pairs_per_s=10)  # so that 30 pairs are scored in a second


def test_one_round_where_no_time_is_given() -> None:
    plan = make_plan(SPLITS, FinetuneSettings(), SPEED, index="docs")
    assert plan.steps == 100  # 1,600 queries, 16 a step
    assert (plan.mined_queries, plan.pairs) == (1600, 100 * 16 * 8)
    assert plan.checked_queries == 480
    assert (plan.evaluate_every, plan.dev_depth, plan.depth) == (20, 30, 50)
    assert plan.seconds == pytest.approx(
        {
            "mining": 160,
            "training": 1280,
            "checking positives": 128,  # of 480 queries, with 8 texts each
            "looking at dev queries": 6 * 100 * 30 / 30,
            "placing and calibrating": (2 * 100 * 50 + 100 * 30) / 30,
            "proving": 3 * 300 / 10 + 300 * 50 / 30,
            "the rest": 60,
        }
    )


def test_minutes_become_steps_and_measure_less_where_they_are_few() -> None:
    # 600 + 433 + 590 + 60 s are less than half of two hours; a step takes 12.8 + 1.6 s,
    # and a tenth of the 12.8 for a look at the positives.
    ample = make_plan(SPLITS, FinetuneSettings(minutes=120), SPEED, index="docs")
    assert (ample.steps, ample.depth) == (100, 50)
    # Of 30 minutes they are more; (2, 20, 20) leaves 200 + 200 + 290 + 60 = 750 s of measuring.
    few = make_plan(SPLITS, FinetuneSettings(minutes=30), SPEED, index="docs")
    assert (few.dev_depth, few.depth, few.evaluate_every) == (
        20,
        20,
        few.steps // 2 + few.steps % 2,
    )
    assert few.steps == int((1800 - 750) / (14.4 + 1.28))
    assert few.mined_queries == few.steps * 16
    assert few.total_s <= 1800
    ready = make_plan(SPLITS, FinetuneSettings(minutes=30), SPEED, index="docs", mined=False)
    assert ready.mined_queries == 0
    assert ready.steps == int((1800 - 750) / (12.8 + 1.28))


def test_too_few_minutes_say_how_many_would_do() -> None:
    # (1, 10, 20): 67 + 167 + 290 + 60 s, and 20 steps of 14.4 + 1.28 s.
    with pytest.raises(ConfigError, match="at least 15 minutes"):
        make_plan(SPLITS, FinetuneSettings(minutes=10), SPEED, index="docs")
