"""Which segments of the queries get a model of their own, and in which order they are trained."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

from retrieve_rerank.cli.finetuning import short_name, train_by_segment
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.checkpoints.versions import ModelVersions, name_part
from retrieve_rerank.training.finetuning import (
    Done,
    SplitJudgments,
    name_of,
    of_segment,
    read_judged_folder,
    read_segments,
)

SIZES = {"train": 240, "dev": 21, "test": 63}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Judged queries of two large teams and a small one, and one of none."""
    (tmp_path / "qrels").mkdir()
    lines = []
    for split, size in SIZES.items():
        rows = []
        for number in range(size):
            team = "sales & ads" if number % 5 else 7
            record: dict[str, object] = {
                "_id": f"{split}{number}",
                "text": f"{split} {number} asks",
            }
            if number % 21 == 5:
                record["metadata"] = {"team": "legal"}
            elif number % 21 == 6:
                record["team"] = None
            elif number % 3:
                record["team"] = team
            else:
                record["metadata"] = {"team": team}
            lines.append(json.dumps(record))
            rows.append(f"{split}{number}\t{split}-d{number}\t1")
        (tmp_path / "qrels" / f"{split}.tsv").write_text("\n".join(rows))
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_segments_with_enough_judged_queries_get_their_own(folder: Path) -> None:
    judged = read_judged_folder(folder)
    segments = read_segments(folder, "team", judged)
    assert segments.enough == ["sales & ads"]
    assert set(segments.too_few) == {"7", "legal"}
    assert segments.too_few["legal"].endswith("1 dev (at least 10), 3 test (at least 30)")
    assert "12 test (at least 30)" in segments.too_few["7"]
    its = of_segment(judged, segments, "sales & ads")
    queries = [*its.train, *its.dev, *its.calibration, *its.test]
    assert len(queries) == sum(value == "sales & ads" for value in segments.of.values())
    assert all(segments.of[query] == "sales & ads" for query in queries)
    for field in ("absent", "_"):
        with pytest.raises(InputError, match=f"no judged query of .* has the field '{field}'"):
            read_segments(folder, field, judged)
    with (folder / "queries.jsonl").open("a") as file:
        file.write('\n{"_id": "x", "text": "y", "team": ["a"]}')
    with pytest.raises(InputError, match="expected a text as team"):
        read_segments(folder, "team", judged)


@pytest.mark.parametrize("value", ["a", "sales & ads", "Vertrieb/Süd", "../up", "x" * 300, "ü"])
def test_any_value_names_a_model(value: str, tmp_path: Path) -> None:
    name = name_of("docs-reranker", value)
    assert ModelVersions(tmp_path, name).folder.parent == tmp_path / "models"
    assert name != name_of("docs-reranker", f"{value}!")
    of_index = f"{name_part(short_name(f'qdrant://host/{quote(value)}'))}-reranker"
    ModelVersions(tmp_path, name_of(of_index, value))
    assert name_part(short_name(value)) == name_part(short_name(f"./{value}/"))


def test_a_stopped_command_goes_on_with_what_is_left(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = read_judged_folder(folder)
    segments = read_segments(folder, "team", judged)
    trained: list[tuple[str, str, int, int]] = []

    def run(its: SplitJudgments, name: str, segment: str, models: int) -> None:
        trained.append((name, segment, len(its.train), models))
        if len(trained) == 2:
            raise KeyboardInterrupt

    def command(**options: bool) -> None:
        done = Done(tmp_path / "done.json", {"seed": 1})
        train_by_segment(run, judged, segments, "r", done, **options)

    own = name_of("r", "sales & ads")
    with pytest.raises(KeyboardInterrupt):
        command(shared=True, dry_run=False)
    assert [each[:2] for each in trained] == [("r", ""), (own, "sales & ads")]
    assert "legal has 10 train (at least 100)" in capsys.readouterr().err
    assert "x" not in Done(tmp_path / "done.json", {"seed": 1})
    assert "r" not in Done(tmp_path / "done.json", {"seed": 2})

    command(shared=False, dry_run=False)  # as the one for all serves by now
    assert [each[:2] for each in trained[2:]] == [(own, "sales & ads")]
    assert {each[3] for each in trained} == {2}
    assert "r was trained before the command was stopped" in capsys.readouterr().err

    command(shared=False, dry_run=False)  # given again, it begins anew
    assert trained[3][:2] == (own, "sales & ads")
    assert trained[3][3] == 1
