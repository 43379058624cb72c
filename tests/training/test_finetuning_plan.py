"""What a run will do, from speeds that are given: computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.training.finetuning.plan import make_plan
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.finetuning.speed import Speed, Today
from retrieve_rerank.training.trainers.settings import TrainerSettings

SPLITS = {"train": 1600, "dev": 100, "calibration": 100, "test": 300}
SPEED = Speed(searches_per_s=10, pairs_per_s=10)  # so that 30 pairs are scored in a second


def test_one_round_where_no_time_is_given() -> None:
    plan = make_plan(SPLITS, FinetuneSettings(), SPEED, index="docs")
    assert (plan.steps, plan.batch_size) == (200, 8)  # 1,600 queries; 100 steps of 16 were few
    assert (plan.mined_queries, plan.pairs) == (1600, 1600 * 8)
    assert plan.checked_queries == 1600
    assert (plan.evaluate_every, plan.dev_depth, plan.depth) == (40, 30, 50)
    assert plan.seconds == pytest.approx(
        {
            "so far": 0,
            "mining": 160,
            "training": 1280,
            "checking positives": 1600 * 8 / 30,
            "re-tuning what serves today": 0,  # which is the first stage
            "looking at dev queries": 6 * 100 * 30 / 30,
            "placing and calibrating": (2 * 100 * 50 + 100 * 30) / 30,
            "proving": 2 * 300 / 10 + 300 * 50 / 30,
            "the rest": 60,
        }
    )


def test_minutes_become_steps_and_measure_less_where_they_are_few() -> None:
    # Of 30 minutes 600 + 433 + 560 + 60 s are more than half; (2, 20, 30) leaves 200 + 267 + 360
    # + 60 = 887 s of measuring. A group takes .8 s, a tenth of it for a look at its positive, and
    # .1 s for its search: 931 fit in, which are 116 steps of 8 and 232 of 4.
    few = make_plan(SPLITS, FinetuneSettings(minutes=30), SPEED, index="docs")
    assert (few.dev_depth, few.depth, few.evaluate_every) == (20, 30, 116)
    assert (few.steps, few.batch_size, few.mined_queries) == (232, 4, 928)
    assert few.checked_queries == 278  # 74 s are a tenth of training; 8 of 30 pairs a second each
    assert few.total_s <= 1800
    ready = make_plan(SPLITS, FinetuneSettings(minutes=30), SPEED, index="docs", mined=False)
    assert ready.mined_queries == 0
    assert ready.steps * ready.batch_size == 1036  # of 913 / .88


def test_minutes_that_are_left_go_to_more_rounds() -> None:
    # 1,653 s of measuring, 160 s of searching: 6,121 groups of .88 s fit in, nearly four rounds.
    ample = make_plan(SPLITS, FinetuneSettings(minutes=120), SPEED, index="docs")
    assert (ample.steps, ample.batch_size, ample.depth) == (382, 16, 50)
    assert ample.mined_queries == 1600
    assert 6900 < ample.total_s <= 7200
    assert make_plan(SPLITS, FinetuneSettings(minutes=999), SPEED, index="docs").steps == 400


def test_steps_that_are_asked_for_keep_their_size() -> None:
    settings = FinetuneSettings(trainer=TrainerSettings(max_steps=30))
    plan = make_plan(SPLITS, settings, SPEED, index="docs")
    assert (plan.steps, plan.batch_size, plan.pairs) == (30, 16, 30 * 16 * 8)


def test_too_few_minutes_say_how_many_would_do() -> None:
    # (1, 10, 20): 67 + 167 + 260 + 60 s, and 20 steps of 4 groups of .98 s.
    with pytest.raises(ConfigError, match="at least 11 minutes"):
        make_plan(SPLITS, FinetuneSettings(minutes=10), SPEED, index="docs")


def test_what_serves_today_counts_and_is_re_tuned_less_deep_where_minutes_are_few() -> None:
    today = Today(before_s=0.2, pairs_per_s=20, depth=30, candidates=100)
    speed = Speed(searches_per_s=10, pairs_per_s=10, today=today)
    plan = make_plan(SPLITS, FinetuneSettings(), speed, index="docs")
    assert plan.todays_depth == 100
    assert plan.seconds["re-tuning what serves today"] == pytest.approx(100 * (0.2 + 100 / 20))
    # As it is set, at most as deep as it was re-tuned, and the trained model.
    searches_s = (0.2 + 30 / 20) + (0.2 + 100 / 20) + (0.1 + 50 / 30)
    assert plan.seconds["proving"] == pytest.approx(300 * searches_s)

    few = make_plan(SPLITS, FinetuneSettings(minutes=60), speed, index="docs", spent_s=300)
    assert (few.depth, few.todays_depth) == (20, 30)  # not less deep than it serves
    assert few.seconds["so far"] == 300
    assert few.total_s <= 3600

    listwise = replace(speed, today=replace(today, tunable=False))
    fixed = make_plan(SPLITS, FinetuneSettings(), listwise, index="docs")
    assert fixed.seconds["re-tuning what serves today"] == 0
    assert fixed.seconds["proving"] == pytest.approx(300 * (searches_s - (0.2 + 100 / 20)))


def test_learning_rates_are_tried_in_time_that_training_leaves() -> None:
    # 400 steps of 12.8 s; 8 times 44 of them, and six looks of 100 s, take no longer.
    plan = make_plan(SPLITS, FinetuneSettings(minutes=999, sweep=True), SPEED, index="docs")
    assert (plan.steps, plan.sweep_steps) == (400, 44)
    assert plan.seconds["trying learning rates"] == pytest.approx(8 * 44 * 12.8 + 600)
    for minutes in (None, 120):
        scarce = FinetuneSettings(minutes=minutes, sweep=True)
        assert make_plan(SPLITS, scarce, SPEED, index="docs").sweep_steps == 0


def test_a_veto_takes_its_time() -> None:
    served = make_plan(SPLITS, FinetuneSettings(veto="served"), SPEED, index="docs").seconds
    assert served["mining"] == pytest.approx(1600 * (0.1 + 16 / 30))  # a positive and 15 others
    assert served["fitting the veto"] == pytest.approx(100 * 6 / 30)
    both = make_plan(SPLITS, FinetuneSettings(veto="cross-fit"), SPEED, index="docs").seconds
    assert both["mining"] == pytest.approx(1600 * (0.2 + 16 / 30))
    assert both["training for the veto"] == both["training"]
    limited = FinetuneSettings(veto="cross-fit", minutes=60)
    assert make_plan(SPLITS, limited, SPEED, index="docs").total_s <= 3600


def test_folds_take_a_training_each_and_one_more() -> None:
    splits = {"train": 100, "dev": 20, "calibration": 10, "test": 100}
    plan = make_plan(splits, FinetuneSettings(), SPEED, index="docs", folds=5)
    assert (plan.folds, plan.steps, plan.batch_size) == (5, 20, 4)  # of 80 queries
    assert (plan.mined_queries, plan.pairs) == (100, 6 * 20 * 4 * 8)
    assert plan.seconds["training"] == pytest.approx(6 * 20 * 4 * 0.8)
    assert plan.seconds["looking at dev queries"] == pytest.approx(5 * 6 * 20 * 30 / 30)
    assert plan.seconds["placing and calibrating"] == pytest.approx((6 * 2000 + 300) / 30)
    assert plan.seconds["proving"] == pytest.approx(100 * (0.1 + 0.1 + 50 / 30))
    bound = make_plan(splits, FinetuneSettings(minutes=30), SPEED, index="docs", folds=5)
    assert bound.total_s <= 1800
