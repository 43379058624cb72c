"""The veto of a run: what it takes for relevant is no negative, and a kill makes no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from retrieve_rerank import Document, Retriever, Scorer, Stage
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.models.loading import DEFAULT_ENCODER
from retrieve_rerank.testing import OverlapScorer
from retrieve_rerank.training import read_groups
from retrieve_rerank.training.finetuning import FinetuneSettings, SplitJudgments, TrainerSettings
from retrieve_rerank.training.finetuning.mining import GroupMiner, check_veto
from retrieve_rerank.training.finetuning.plan import make_plan
from retrieve_rerank.training.finetuning.result import Watch
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.speed import Speed
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.mining import Mining
from tests.models.tiny import make_model

COUNT = 60
QUERIES = {f"q{n}": f"alpha{n} beta{n} gamma{n}" for n in range(COUNT)}
QRELS = {f"q{n}": {f"good{n}": 1} for n in range(COUNT)}


def mining(today: Retriever) -> Mining:
    first_stage = Retriever(today.connector, candidates=today.candidates)
    return Mining(retriever=first_stage, queries=QUERIES, qrels=QRELS, negatives=4, sampling="top")


def open_today(*stages: Stage) -> Retriever:
    """Of each query a judged text, one that is as good and not judged, and eight others."""
    documents = []
    for n in range(COUNT):
        documents.append(Document(f"good{n}", f"alpha{n} beta{n} gamma{n} of old"))
        documents.append(Document(f"missed{n}", f"some gamma{n} and beta{n} with alpha{n}"))
        documents += [Document(f"bad{n}-{i}", f"alpha{n} at place {i} and so on") for i in range(8)]
    return Retriever(MemoryConnector(documents), *stages, candidates=10)


class Blind(Scorer):
    """Has no opinion."""

    name = "blind"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)


def mined(folder: RunFolder, settings: FinetuneSettings, *stages: Stage) -> list[Group]:
    folder.path.mkdir(parents=True, exist_ok=True)
    sizes = {"train": COUNT, "dev": 10, "calibration": 10, "test": 10}
    GroupMiner(
        open_today=lambda: open_today(*stages),
        make=mining,
        folder=folder,
        settings=settings,
        plan=make_plan(sizes, settings, Speed(10, 10), index="docs"),
        accept_changes=False,
        watch=Watch(),
    ).mine()
    return list(read_groups(folder.groups))


def test_what_serves_vetoes_and_what_it_said_is_kept(tmp_path: Path) -> None:
    without = mined(RunFolder(tmp_path, {"veto": None}), FinetuneSettings())
    assert sum("missed" in str(text.id) for group in without for text in group.negatives) > 30
    folder = RunFolder(tmp_path, {"veto": "served"})
    vetoed = mined(folder, FinetuneSettings(veto="served"), Stage(OverlapScorer()))
    assert len(vetoed) == COUNT
    assert not any("missed" in str(text.id) for group in vetoed for text in group.texts)
    assert all(text.teacher_score is not None for group in vetoed for text in group.texts)
    kept, said = folder.groups.read_bytes(), folder.read("veto")
    folder.groups.unlink()
    Path(f"{folder.groups}.mining").unlink()
    mined(folder, FinetuneSettings(veto="served"), Stage(OverlapScorer()))
    assert (folder.groups.read_bytes(), folder.read("veto")) == (kept, said)


def test_two_models_are_trained_on_half_of_the_queries_each(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", "bert", labels=1)
    trainer = TrainerSettings(
        learning_rate=3e-3, max_steps=24, batch_size=4, group_size=4, max_tokens=32
    )
    settings = FinetuneSettings(base=str(base), veto="cross-fit", trainer=trainer)
    folder = RunFolder(tmp_path / "runs", {})
    groups = mined(folder, settings)
    assert all(text.teacher_score is not None for group in groups for text in group.texts)
    first, second = folder.read("veto")["vetoes"]
    assert first["fingerprint"] != second["fingerprint"]
    assert first["positives"] + second["positives"] == COUNT
    runs = [json.loads((folder.path / f"half-{n}" / "run.json").read_text()) for n in (0, 1)]
    assert sum(run["groups"] for run in runs) == COUNT
    assert [run["max_steps"] for run in runs] == [12, 12]


def test_a_veto_without_anything_to_veto_or_to_learn_from_is_refused(tmp_path: Path) -> None:
    judged = SplitJudgments(QUERIES, QRELS, {}, {}, {})
    check_veto(FinetuneSettings(veto="cross-fit"), judged)
    few = SplitJudgments(QUERIES, dict(list(QRELS.items())[:30]), {}, {}, {})
    with pytest.raises(ConfigError, match=r"cross-fit wants 60 training queries.*there are 30"):
        check_veto(FinetuneSettings(veto="cross-fit"), few)
    ready = SplitJudgments(QUERIES, {}, {}, {}, {}, groups=(Group("q", ()),))
    with pytest.raises(ConfigError, match="leave out --veto"):
        check_veto(FinetuneSettings(veto="served"), ready)
    with pytest.raises(ConfigError, match="is no cross-encoder, which --veto expects"):
        check_veto(FinetuneSettings(veto=DEFAULT_ENCODER), judged)
    with pytest.raises(ModelError, match="no-such-model"):
        check_veto(FinetuneSettings(veto=str(tmp_path / "no-such-model")), judged)
    for stages, why in (
        ((), "served without a cross-encoder; name a model"),
        ((Stage(Blind()),), "takes 100% of the texts at the end of rankings for relevant"),
    ):
        with pytest.raises(InputError, match=why):
            mined(RunFolder(tmp_path, {}), FinetuneSettings(veto="served"), *stages)
