"""A run that was ended between promoting its version and saying so."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.checkpoints.version_record import (
    Record,
    Serving,
    now,
    write_json,
    write_record,
)
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.doubtful import Doubtful
from retrieve_rerank.training.finetuning import (
    Finetuned,
    FinetuneSettings,
    Place,
    Plan,
    SplitJudgments,
    finetune,
)
from retrieve_rerank.training.tuning import Tuned

QUERIES = {f"q{n}": f"what of subject {n}" for n in range(120)}
JUDGED: list[tuple[str, dict[str, int]]] = [(query, {"d": 1}) for query in QUERIES]
SPLIT = SplitJudgments(QUERIES, dict(JUDGED[:30]), dict(JUDGED[30:60]), {}, dict(JUDGED[60:]))


def nothing_to_open() -> Retriever:
    raise InputError("a run begins")


def call(data_dir: Path, *, promoted: str = "", base: str = "base") -> Finetuned | Plan:
    return finetune(
        nothing_to_open,
        SPLIT,
        name="docs-reranker",
        data_dir=data_dir,
        serving=Serving("docs"),
        promoted=promoted,
        settings=FinetuneSettings(base=base),
    )


def test_what_was_promoted_is_told_by_the_next_call_and_not_done_again(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a run begins"):
        call(tmp_path)
    [described] = (tmp_path / "finetune" / "docs-reranker").glob("*/run.json")
    model = described.parent / "training" / "model"
    model.mkdir(parents=True)
    write_record(model, Record(created=now(), verdict="better"))
    versions = ModelVersions(tmp_path, "docs-reranker")
    decided = Finetuned(
        name="docs-reranker",
        version=0,
        promoted=True,
        sentence="better",
        advice=(),
        folder=model,
        report=described.with_name("report.html"),
        place=Place(0, Tuned(0.5, 10, 0.9, [])),
        proof={"verdict": {"failed": []}},
        doubtful=Doubtful(0, [], 0),
    )
    write_json(described.with_name("decided.json"), decided.to_dict())
    versions.promote(versions.add(model))

    # Of the promoted version by now, which is also the base where none is named.
    served = {"promoted": "docs-reranker@1", "base": "docs-reranker@1"}
    with pytest.raises(InputError, match="a run begins"):
        call(tmp_path / "elsewhere", **served)
    told = call(tmp_path, **served)

    assert isinstance(told, Finetuned)
    assert (told.version, told.promoted, told.sentence) == (1, True, "better")
    assert versions.numbers == [1]
    with pytest.raises(InputError, match="a run begins"):
        call(tmp_path, **served)  # it has been told: this is a run of its own, on what serves now
