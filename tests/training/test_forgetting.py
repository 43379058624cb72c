"""General data that are trained on beside one's own, and collections that must not lose."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.finetuning import (
    FinetuneSettings,
    Place,
    Replay,
    SplitJudgments,
    Watch,
    read_protected,
    with_replay,
)
from retrieve_rerank.training.finetuning.fitting import Fitted
from retrieve_rerank.training.finetuning.plan import make_plan
from retrieve_rerank.training.finetuning.proof import (
    FIRST,
    RETUNED,
    TODAY,
    TUNED,
    Measured,
)
from retrieve_rerank.training.finetuning.protecting import Protected, measure_elsewhere
from retrieve_rerank.training.finetuning.proving import Prover
from retrieve_rerank.training.finetuning.replaying import REPLAYED, replayed_beside
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.speed import Speed
from retrieve_rerank.training.gate import Verdict, judge
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.slices import Change
from retrieve_rerank.training.tuning import Tuned


def groups(count: int, name: str) -> list[Group]:
    texts = (GroupText("yes", 1.0), GroupText("no", 0.0))
    return [Group(f"{name} {number}", texts) for number in range(count)]


def judged(train: int) -> SplitJudgments:
    qrels = {f"q{number}": {"d": 1} for number in range(train)}
    return SplitJudgments({q: q for q in qrels}, qrels, dev={}, calibration={}, test={})


def test_a_share_of_general_data_is_replayed(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one.jsonl"), str(tmp_path / "a:b.jsonl.gz")
    write_groups([*groups(500, "one"), Group("alone", (GroupText("yes", 1.0),))], one)
    write_groups(groups(3, "other"), other, format="pointwise")
    replays = [Replay.parse(f"{one}:0.5"), Replay.parse(other)]
    assert replays == [Replay(one, 0.5), Replay(other, 0.25)]

    made = with_replay(judged(40), replays, seed=1)

    found = Counter(group.query.split()[0] for group in made.replayed)
    assert found == {"one": 20, "other": 3}  # all that there are
    assert len({group.query for group in made.replayed}) == 23
    assert max(int(g.query.split()[1]) for g in made.replayed if g.query[:3] == "one") > 250
    assert made == with_replay(judged(40), replays, seed=1)
    assert made.replayed != with_replay(judged(40), replays, seed=2).replayed
    assert made.digests().keys() - judged(40).digests().keys() == {"replayed"}
    assert len(replayed_beside(groups(20, "own"), made)) == 12  # half of 23, as half are mined

    splits = {**made.sizes(), "dev": 10, "calibration": 0, "test": 10}
    plan = make_plan(splits, FinetuneSettings(), Speed(10, 100), index="docs")
    assert plan.splits["replayed"] == 23
    assert 35 < plan.mined_queries <= 40 < plan.steps * plan.batch_size


def test_what_is_held_out_or_protected_is_not_replayed(tmp_path: Path) -> None:
    texts = (GroupText("a text", 1.0, "d"), GroupText("no", 0.0))
    like = "how is the wing of an aeroplane repaired"
    asked = [f"{like}s", "DEV?", "calibrated", "asked by a user", "elsewhere", "none of these"]
    general = [Group(query, texts, user="user 1" * (query[:5] == "asked")) for query in asked]
    write_groups(general, tmp_path / "general.jsonl")
    own = judged(100)
    test = {f"test{number}": {"d": 1} for number in range(50)}
    queries = {**own.queries, **dict.fromkeys(test, like), "dev": "dev", "calibrated": "Calibrated"}
    own = replace(
        own,
        queries=queries,
        dev={"dev": {"d": 1}},
        calibration={"calibrated": {"d": 1}},
        test=test,
        users={"test1": "User 1"},
    )
    protected = Protected(
        "general", lambda: Retriever(MemoryConnector()), {"e": "Elsewhere!"}, {"e": {"x": 1}}
    )
    replays = [Replay(str(tmp_path / "general.jsonl"))]

    made = with_replay(own, replays, protected=[protected])
    assert [group.query for group in made.replayed] == ["none of these"]
    assert made.left_out == {REPLAYED: 5}

    few = replace(own, test=dict(list(test.items())[:40]))  # which folds keep apart
    assert {group.query for group in with_replay(few, replays).replayed} == {
        *(f"{like}s", "asked by a user", "elsewhere", "none of these")
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [("x.jsonl:0", "above 0"), ("x.jsonl:-1", "above 0"), ("x.jsonl:nan", "above 0")],
)
def test_a_share_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Replay.parse(text)


def test_what_cannot_be_replayed_is_refused(tmp_path: Path) -> None:
    write_groups([Group("alone", (GroupText("yes", 1.0),))], tmp_path / "alone.jsonl")
    with pytest.raises(InputError, match="no group of different labels to replay"):
        with_replay(judged(4), [Replay(str(tmp_path / "alone.jsonl"))])
    with pytest.raises(InputError, match="there is no file"):
        with_replay(judged(4), [Replay(str(tmp_path / "absent.jsonl"))])


class Backwards(OverlapScorer):
    """A model that has forgotten everything."""

    def score(self, query: str, texts: list[str]) -> list[float]:  # type: ignore[override]
        return [-score for score in super().score(query, texts)]


class Broken(OverlapScorer):
    """A model that fails where the other collection is searched."""

    def score(self, query: str, texts: list[str]) -> list[float]:  # type: ignore[override]
        if query.endswith("right"):
            raise ModelError("out of memory")
        return super().score(query, texts)


NAMES = [f"word{number}" for number in range(40)]
DOCUMENTS = [
    Document(f"{name}-{n}", f"{name} {word}")
    for name in NAMES
    for n, word in enumerate(("right", "wrong"))
]
PLACE = Place(1, Tuned(1.0, 10, 0.9, []))


def test_a_collection_that_cannot_be_searched_bars_promotion(tmp_path: Path) -> None:
    def today() -> Retriever:
        return Retriever(MemoryConnector(DOCUMENTS), OverlapScorer())

    queries = {name: f"{name} right" for name in NAMES}
    qrels = {name: {f"{name}-0": 1} for name in NAMES}
    better = {name: [f"{name}-0"] for name in NAMES}
    worse = {name: [f"{name}-1", f"{name}-0"] for name in NAMES}
    rankings = {FIRST: worse, TODAY: worse, RETUNED: worse, TUNED: better}
    measured = Measured(rankings, {name: {} for name in rankings}, {TODAY: [1], TUNED: [1]})

    def proved(scorer: OverlapScorer) -> Verdict:
        prover = Prover(
            open_today=today,
            judged=SplitJudgments(queries, {}, dev={}, calibration={}, test=qrels),
            protected=[Protected("general", today, queries, qrels)],
            settings=FinetuneSettings(base="base"),
            folder=RunFolder(tmp_path, {}),
            watch=Watch(),
        )
        nothing: Any = None
        return prover.prove(measured, Fitted(nothing, nothing, scorer, PLACE)).verdict

    assert proved(OverlapScorer()).promote
    failed = proved(Broken())
    assert (failed.promote, failed.failed) == (False, 40)
    assert "fine-tuned on general: 40 of the queries failed" in failed.sentence
    assert "out of memory" in failed.sentence


def test_a_collection_that_loses_bars_promotion(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    queries = [json.dumps({"_id": name, "text": f"{name} right"}) for name in NAMES]
    (tmp_path / "queries.jsonl").write_text("\n".join(queries))
    rows = [f"{name}\t{name}-0\t1" for name in [*NAMES, "textless"]]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(rows))
    (tmp_path / "qrels" / "train.tsv").write_text(rows[0])

    def today() -> Retriever:
        return Retriever(MemoryConnector(DOCUMENTS), OverlapScorer())

    protected = read_protected("general", tmp_path, today, at_most=35)
    assert len(protected.qrels) == 35
    change = measure_elsewhere(protected, Backwards(), PLACE).change
    assert set(change.before) == set(protected.qrels)
    assert sum(change.after.values()) < sum(change.before.values())

    better = {f"q{n}": ["right"] for n in range(40)}
    worse = {query: ["wrong", "right"] for query in better}
    qrels = {query: {"right": 1} for query in better}
    assert judge(worse, better, qrels).promote
    verdict = judge(worse, better, qrels, others={"general": change})
    assert not verdict.promote
    assert "general: of 35 queries a loss of 0.05 is not ruled out" in verdict.sentence
    [told] = verdict.slices
    assert (told.name, told.queries, told.kept) == ("general", 35, False)
    assert told.after - told.before == pytest.approx(told.gain)
    same = Change(change.before, change.before)
    assert judge(worse, better, qrels, others={"general": same}).promote

    (tmp_path / "qrels" / "test.tsv").rename(tmp_path / "qrels" / "dev.tsv")
    with pytest.raises(InputError, match="expected test among them"):
        read_protected("general", tmp_path, today)
