"""The learning rate of a run, found by short trainings: kept, and not looked for again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from retrieve_rerank import Scorer
from retrieve_rerank.training.finetuning import FinetuneSettings, TrainerSettings
from retrieve_rerank.training.finetuning.plan import make_plan
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.speed import Speed
from retrieve_rerank.training.finetuning.sweeping import with_best_rate
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.trainers import Swept
from tests.models.tiny import make_model

GROUPS = [
    Group(f"wing {n}", (GroupText("wing flutter", 1.0), GroupText("the cat sat", 0.0)))
    for n in range(8)
]


class Heard(Watch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def tell(self, told: object) -> None:
        self.told.append(told)


def test_the_best_rate_is_taken_and_what_was_tried_is_kept(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", "bert", labels=1)
    trainer = TrainerSettings(group_size=2, max_tokens=16)
    settings = FinetuneSettings(base=str(base), trainer=trainer)
    sizes = {"train": 8, "dev": 2, "calibration": 2, "test": 2}
    plan = make_plan(sizes, settings, Speed(10, 10), index="docs")
    folder = RunFolder(tmp_path / "runs", {})
    worth = iter([0.1, 0.4, 0.3, 0.2, 0.5, 0.6])

    def look(scorer: Scorer) -> float:
        assert len(scorer.score("wing", ["wing flutter"])) == 1
        return next(worth)

    def swept(watch: Watch, *, steps: int) -> FinetuneSettings:
        planned = replace(plan, sweep_steps=steps)
        return with_best_rate(settings, GROUPS, look, plan=planned, folder=folder, watch=watch)

    assert swept(Heard(), steps=0) is settings
    heard = Heard()
    chosen = swept(heard, steps=1)
    assert chosen == replace(settings, trainer=replace(trainer, learning_rate=1e-4))
    [told] = heard.told
    assert isinstance(told, Swept)
    tried = [{"1e-05": 0.1, "3e-05": 0.4, "0.0001": 0.3, "0.0003": 0.2}]
    assert folder.read("sweep") == {
        "learning_rate": 1e-4,
        "rounds": [*tried, {"3e-05": 0.5, "0.0001": 0.6}],
    }
    assert swept(Heard(), steps=1) == chosen  # nothing is looked at again
