"""Few queries to hold out: folds judge the procedure, and what broke off goes on where it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.types import Document

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")
tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")
pytest.importorskip("accelerate", reason="needs the extra 'train'")

from retrieve_rerank.training.finetuning import (  # noqa: E402
    Finetuned,
    FinetuneSettings,
    Serving,
    SplitJudgments,
    TrainerSettings,
    Watch,
    finetune,
)
from retrieve_rerank.training.finetuning.folding import (  # noqa: E402
    Fold,
    Procedure,
    divide_into_folds,
)
from retrieve_rerank.training.finetuning.run_folder import RunFolder  # noqa: E402
from retrieve_rerank.training.mining import MiningStoppedError, to_file  # noqa: E402
from retrieve_rerank.training.queries import Cut, Cuts  # noqa: E402

SUBJECTS = [f"subject{number}" for number in range(32)]
DOCUMENTS = [
    Document(f"{subject}-{kind}", f"{subject} is a {kind} of the passage")
    for subject in SUBJECTS
    for kind in ("wing", "cat", "mat")
]
QUERIES = {subject: f"what of {subject}" for subject in SUBJECTS}
JUDGED = {subject: {f"{subject}-wing": 1} for subject in SUBJECTS}
SPLIT = SplitJudgments(
    queries=QUERIES,
    train={subject: JUDGED[subject] for subject in SUBJECTS[:18]},
    dev={subject: JUDGED[subject] for subject in SUBJECTS[18:24]},
    calibration={},
    test={subject: JUDGED[subject] for subject in SUBJECTS[24:]},
)
OUTSIDE_DEV = {*SUBJECTS[:18], *SUBJECTS[24:]}


class StoppedError(Exception):
    """As Ctrl-C would stop the run."""


class Heard(Watch):
    """Notes what it hears, and stops the run when it has heard one thing so many times."""

    def __init__(self, *, stop_at: object = None, times: int = 1) -> None:
        self.folds: list[int] = []
        self.procedure: Procedure | None = None
        self._stop_at = stop_at
        self._left = times

    def progress(
        self, doing: str, total: int, things: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda count: self._stop((doing, count)))

    def tell(self, told: object) -> None:
        if isinstance(told, Fold):
            self._stop(told.number)
            self.folds.append(told.number)
        if isinstance(told, Procedure):
            self.procedure = told

    def _stop(self, at: object) -> None:
        self._left -= at == self._stop_at
        if not self._left:
            raise StoppedError


def test_an_interrupted_run_goes_on_fold_by_fold_and_judges_the_procedure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As without the extra 'export': six fast forms would take most of the test's time.
    monkeypatch.setitem(sys.modules, "nncf", None)
    for module in ("exporting", "quantization"):
        monkeypatch.delitem(sys.modules, f"retrieve_rerank.models.export.{module}", raising=False)
    monkeypatch.setattr(to_file, "EVERY_S", 0.0)  # what is mined is written down at once
    connector = MemoryConnector(DOCUMENTS)
    base = tiny.make_model(tmp_path / "base", "bert", labels=1)
    runs = tmp_path / "finetune" / "docs-reranker"

    def run(watch: Watch, *, accept_changes: bool = False) -> Finetuned:
        done = finetune(
            lambda: Retriever(connector, candidates=12),
            SPLIT,
            name="docs-reranker",
            data_dir=tmp_path,
            serving=Serving("memory:docs"),
            settings=FinetuneSettings(
                base=str(base),
                depth=6,
                looks=2,
                trainer=TrainerSettings(max_steps=4, max_tokens=24, learning_rate=3e-3),
            ),
            accept_changes=accept_changes,
            watch=watch,
        )
        assert isinstance(done, Finetuned)
        return done

    with (
        RunFolder(runs, {}).locked(),
        pytest.raises(InputError, match=r"another run .* is at work"),
    ):
        run(Heard())
    with pytest.raises(StoppedError):
        run(Heard(stop_at=("mining", 1), times=9))
    connector.index([Document("new", "a document that came while negatives were mined")])
    with pytest.raises(MiningStoppedError, match=r"had 96 documents and has 97.*--accept-changes"):
        run(Heard())
    with pytest.raises(StoppedError):
        run(Heard(stop_at=3), accept_changes=True)
    [plan] = [json.loads(file.read_text()) for file in runs.glob("*/plan.json")]
    assert (plan["folds"], plan["steps"], plan["splits"]["test"]) == (5, 4, 26)
    assert plan["pairs"] == 6 * 4 * 16 * 8

    went_on = Heard()
    done = run(went_on)

    assert went_on.folds == [3, 4, 5]
    told = [json.loads(file.read_text()) for file in sorted(runs.glob("*/fold-*.json"))]
    assert went_on.procedure is not None
    assert went_on.procedure.steps == sorted(fold["steps"] for fold in told)[2]
    by_query = done.proof["systems"][-1]["per_query"]["nDCG@10"]
    assert set(by_query) == OUTSIDE_DEV
    assert done.proof["verdict"]["queries"] == 26
    assert done.sentence.endswith("over 5 folds: the procedure was judged, not this model")
    card = (done.folder / "README.md").read_text()
    assert f"the median of their best steps ({went_on.procedure.steps})" in card
    assert "the procedure is judged, not this model" in done.report.read_text()
    assert not list(runs.glob("*/fold-?"))  # their models have served
    assert run(Heard()) == done


def test_no_fold_trains_on_what_it_is_measured_on() -> None:
    twin = {**QUERIES, "twin": "What of subject3?"}
    judged = SplitJudgments(
        twin, {**SPLIT.train, "twin": JUDGED["subject3"]}, SPLIT.dev, {}, SPLIT.test
    ).folded_if_few()
    groups = [
        Group(twin[query], (GroupText(f"text of {query}", 1.0),), query)
        for query in (*OUTSIDE_DEV, "twin")
    ]
    folds = divide_into_folds(judged)
    assert sorted(query for fold in folds for query in fold.test) == sorted({*OUTSIDE_DEV, "twin"})
    for fold in folds:
        trained = {group.query_id for group in fold.training(groups)}
        assert trained == {*OUTSIDE_DEV, "twin"} - set(fold.test)
        assert ("twin" in fold.test) == ("subject3" in fold.test)


def test_a_fold_holds_out_users_wholly() -> None:
    users = {query: f"user {number % 7}" for number, query in enumerate(QUERIES)}
    judged = replace(SPLIT, users=users).folded_if_few()
    groups = [
        Group(QUERIES[query], (GroupText("a text", 1.0),), query, user=users[query])
        for query in OUTSIDE_DEV
    ]
    for fold in divide_into_folds(judged):
        apart = {users[query] for query in fold.test}
        assert {group.user for group in fold.training(groups)} == set(users.values()) - apart


def test_generated_queries_share_a_fold_by_document_and_are_measured_without_their_spans() -> None:
    of_two = {query: {f"d{number // 2}": 1} for number, query in enumerate(QUERIES)}
    cuts = Cuts(
        {f"d{number // 2}": {query: Cut("title", query)} for number, query in enumerate(QUERIES)},
        whole=frozenset(["subject1"]),
    )
    judged = SplitJudgments(
        QUERIES,
        {query: of_two[query] for query in SUBJECTS[:18]},
        {query: of_two[query] for query in SUBJECTS[18:24]},
        {},
        {query: of_two[query] for query in SUBJECTS[24:]},
        cuts=cuts,
    ).folded_if_few()
    assert "subject1" in judged.train
    assert "subject1" not in judged.test
    for fold in divide_into_folds(judged):
        assert {query for query in SUBJECTS if of_two[query] in fold.test.values()} == set(
            fold.held_out
        )


def test_many_test_queries_need_no_folds() -> None:
    many = {f"q{number}": {"d": 1} for number in range(50)}
    split = SplitJudgments(dict.fromkeys(many, "text"), SPLIT.train, SPLIT.dev, {}, many)
    assert split.folded_if_few() is split
