"""Groups that are there already, in place of mined ones: none duplicates a held-out query."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.models.checkpoints.version_record import Serving
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.finetuning import (
    FinetuneSettings,
    SplitJudgments,
    read_judged_folder,
    read_ready_groups,
)
from retrieve_rerank.training.finetuning.finetune import Run
from retrieve_rerank.training.finetuning.folding import divide_into_folds
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.trainers.objective import choose_groups, choose_objective
from retrieve_rerank.types import Document


def asked(number: int) -> str:
    """A question that no other one is like."""
    return f"how is {sha256(str(number).encode()).hexdigest()[:30]} repaired"


def group(query: str, id_: str | None, text: str = "") -> Group:
    return Group(query, (GroupText(text or f"text of {id_}", 1.0, id_), GroupText("no", 0.0)))


def judged(test: int) -> SplitJudgments:
    """Three dev queries and so many to test on, each about a document of its own."""
    qrels = {f"q{number}": {f"d{number}": 1} for number in range(test + 3)}
    queries = {query: asked(int(query[1:])) for query in qrels}
    apart = list(qrels.items())
    return SplitJudgments(
        queries, train={}, dev=dict(apart[:3]), calibration={}, test=dict(apart[3:])
    )


def read(tmp_path: Path, groups: list[Group], beside: SplitJudgments | None) -> SplitJudgments:
    write_groups(groups, tmp_path / "groups.jsonl")
    return read_ready_groups(tmp_path / "groups.jsonl", beside)


def test_groups_like_a_held_out_query_about_its_document_are_left_out(tmp_path: Path) -> None:
    like = [group(f"{asked(number)}x", f"d{number}") for number in range(60)]
    another = [group(f"{asked(number)}y", f"another{number}") for number in range(60)]
    equal = group(asked(5).upper(), None)
    ready = read(tmp_path, [*like, *another, equal], judged(57))
    assert ready.groups == tuple(another)
    assert list(ready.left_out.values()) == [61]


def test_a_run_records_the_template_that_its_texts_are_laid_out_by(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    (base / "retrieve_rerank.json").write_text('{"template": "{text} ({title})"}')
    documents = [Document(id_, f"wing {id_}", {"title": "Flight"}) for id_ in ("d60", "no")]
    today = Retriever(MemoryConnector(documents))

    def run(of: SplitJudgments) -> Run:
        return Run(
            lambda: today,
            of,
            name="docs-reranker",
            data_dir=tmp_path,
            serving=Serving(index="docs", replaces="nothing"),
            searching={},
            promoted="",
            protected=(),
            settings=FinetuneSettings(base=str(base)),
            accept_changes=False,
            spent_s=0.0,
        )

    own = judged(57)
    own = replace(own, train={"q60": {"d60": 1}}, queries={**own.queries, "q60": "wing"})
    [[mined, _]] = run(own)._mining(today, own.train).outcomes()
    assert mined is not None
    assert {text.text for text in mined.texts} == {"wing d60 (Flight)", "wing no (Flight)"}
    ready = read(tmp_path, [group(asked(number), None) for number in range(100, 103)], judged(57))
    assert run(ready).settings.trainer.template == "{title} {text}"


def test_groups_whose_texts_have_no_id_are_held_out_with_those_that_they_duplicate(
    tmp_path: Path,
) -> None:
    groups = [group(asked(number), f"d{number}") for number in range(600)]
    without_ids = [group(f"{asked(n)}x", None, f"text of d{n}") for n in range(600)]
    ready = read(tmp_path, [*without_ids, *groups], None)
    assert len(ready.test) > 30
    learnt = {each.query for each in ready.groups or ()}
    for query in ready.held_out:
        assert not {query, f"{query}x"} & learnt


def test_a_lone_test_set_beside_groups_is_held_out_whole(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    queries = [{"_id": f"q{number}", "text": asked(number)} for number in range(400)]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    rows = [f"q{number}\td{number}\t1" for number in range(400)]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(rows))
    alone = read_judged_folder(tmp_path)
    assert alone.lone == "test"
    assert len(alone.train) == pytest.approx(280, abs=30)

    own = [group(asked(number), f"d{number}") for number in range(390, 420)]
    ready = read(tmp_path, own, alone)
    assert not ready.folded
    assert (ready.dev, ready.calibration) == (alone.dev, alone.calibration)
    assert len(ready.test) + len(ready.dev) + len(ready.calibration) == 400
    assert ready.groups == tuple(own[10:])


def test_which_groups_can_be_learnt_from_is_left_to_the_loss(tmp_path: Path) -> None:
    ranked = (GroupText("a", -1.0, teacher_score=2.0), GroupText("b", -2.0, teacher_score=1.0))
    ranks = [Group(asked(number), ranked) for number in range(100, 190)]
    labelled = [group(asked(number), f"d{number}") for number in range(100)]
    ready = read(tmp_path, [*ranks, *labelled], judged(57))
    assert len(ready.groups or ()) == 130
    for loss, left_out in (("ranknet", 0), ("kl", 40), ("lce", 90)):
        usable = choose_groups(ready.groups or (), choose_objective(loss, ready.groups or ()))
        assert usable.left_out.total() - usable.left_out["text without a label"] == left_out
    alone = read(tmp_path, [*ranks, *(group(asked(n), f"d{n}") for n in range(200, 500))], None)
    assert {each.query for each in ranks} <= {each.query for each in alone.groups or ()}


def test_a_fold_is_kept_from_groups_like_its_queries(tmp_path: Path) -> None:
    like = [group(f"{asked(number)}x", f"d{number}") for number in range(20)]
    ready = read(tmp_path, like, judged(17))
    assert ready.folded
    assert len(ready.groups or ()) == 17  # the other three are like dev queries
    for fold in divide_into_folds(replace(ready, groups=None)):
        trained = {each.query for each in fold.training(ready.groups or ())}
        assert trained == {f"{asked(n)}x" for n in range(3, 20) if f"q{n}" not in fold.test}
