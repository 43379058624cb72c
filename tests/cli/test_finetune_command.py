"""The whole loop on an index of a few hundred texts, with a tiny network that can learn it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retrieve_rerank.cli.finetuning import default_base
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.loading import BUNDLED_RERANKER
from retrieve_rerank.settings.stages import StageSettings
from retrieve_rerank.training import Group, GroupText, read_groups
from retrieve_rerank.training.converting import write_groups
from tests.cli.conftest import Rr

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")
tiny = pytest.importorskip("tests.models.tiny", reason="needs the extra 'torch'")
finetuning = pytest.importorskip(
    "retrieve_rerank.training.finetuning", reason="needs the extra 'train'"
)

SIZES = {"train": 60, "dev": 20, "calibration": 8, "test": 50}
TEXTS = 6
SWAPPED = "subject7"
"""A training query that is judged to ask for something else."""
FINETUNE = (
    *("finetune", "--index", "docs", "--data", "judged", "--base", "base"),
    *("--learning-rate", "3e-3", "--depth", "10", "--max-tokens", "32"),
)


@pytest.fixture
def judged(rr: Rr, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of several texts on each subject, one of them what its query is for."""
    monkeypatch.setenv("RR_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = home / "judged"
    (folder / "qrels").mkdir(parents=True)
    subjects = [f"subject{number}" for number in range(sum(SIZES.values()))]
    with (home / "corpus.jsonl").open("w") as corpus, (folder / "queries.jsonl").open("w") as file:
        for number, subject in enumerate(subjects):
            file.write(json.dumps({"_id": subject, "text": f"what of {subject}"}) + "\n")
            for text in range(TEXTS):
                kind = "wing flutter" if text == number % TEXTS else "cat mat"
                body = f"{subject} is a {kind} of the {'short ' * (text % 3)}passage"
                corpus.write(json.dumps({"_id": f"{subject}-{text}", "text": body}) + "\n")
        corpus.write(json.dumps({"_id": "swapped", "text": "cat mat"}) + "\n")
    start = 0
    for split, size in SIZES.items():
        rows = [
            f"{subject}\t{subject}-{number % TEXTS}\t1\n"
            for number, subject in enumerate(subjects)
            if subject != SWAPPED and start <= number < start + size
        ]
        (folder / "qrels" / f"{split}.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(rows)
        )
        start += size
    with (folder / "qrels" / "train.tsv").open("a") as wrong:
        wrong.write(f"{SWAPPED}\tswapped\t1\n")
    tiny.make_model(home / "base", "bert", labels=1)
    made = rr("index", str(home / "corpus.jsonl"), "--index", "docs", "--encoder", "none")
    assert made.exit_code == 0, made.output
    return folder


def run_folder(home: Path) -> Path:
    [folder] = (home / "data" / "finetune" / "docs-reranker").glob("*/run.json")
    return folder.parent


def ids(rr: Rr) -> list[str]:
    """Search as users do, and name the hits."""
    found = json.loads(rr("search", "--index", "docs", "--json", "what of subject100").stdout)
    return [hit["id"] for hit in found["hits"]]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_what_is_better_serves(rr: Rr, judged: Path, home: Path) -> None:
    before = ids(rr)
    process = subprocess.Popen(
        [sys.executable, "-c", "from retrieve_rerank.cli import main; main()", *FINETUNE],
        cwd=home,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        if list(home.glob("data/finetune/docs-reranker/*/training/checkpoints/checkpoint-*")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.05)
    process.wait()
    groups = (run_folder(home) / "groups.jsonl").read_bytes()
    refused = rr(*FINETUNE, "--depth", "0")
    assert refused.exit_code == 2

    done = rr(*FINETUNE)

    assert done.exit_code == 0, done.output
    assert (run_folder(home) / "groups.jsonl").read_bytes() == groups
    told = " ".join(done.stdout.split())
    assert "60 train, 20 dev, 8 calibration, 50 test" in told
    assert "The search returned 59 of the 60 positives" in told
    assert "Dev nDCG@10: " in told
    assert "Verdict: better: nDCG@10 +" in told
    assert "Promoted: docs-reranker@1 serves this index from now on" in told
    result = json.loads((run_folder(home) / "result.json").read_text())
    assert result["proof"]["verdict"]["low"] > 0
    report = (run_folder(home) / "report.html").read_text()
    assert "what of subject" in report and "<svg" in report

    assert "of 60 training positives, which the trained model and max-sim both score" in told
    [doubtful] = [
        group
        for group in read_groups(run_folder(home) / "doubtful.jsonl")
        if group.query_id == SWAPPED
    ]
    assert [text.id for text in doubtful.texts] == ["swapped"]
    assert "that are probably wrong" in report

    right = f"subject100-{100 % TEXTS}"
    assert ids(rr)[0] == right != before[0]
    card = (home / "data" / "models" / "docs-reranker" / "1" / "README.md").read_text()
    assert "## Where it hurts" in card and "looked at 1 time" in card

    (
        run_folder(home) / "result.json"
    ).unlink()  # as a kill or a full disk after promoting leaves it
    assert "Promoted: docs-reranker@1" in " ".join(rr(*FINETUNE).stdout.split())
    assert not (home / "data" / "models" / "docs-reranker" / "2").exists()
    assert (run_folder(home) / "result.json").exists()  # of the one run

    assert rr("models", "rollback", "docs-reranker").exit_code == 0
    assert ids(rr) == before

    (run_folder(home) / "result.json").unlink()  # as a kill between keeping and promoting leaves it
    assert "Promoted: docs-reranker@1" in " ".join(rr(*FINETUNE).stdout.split())
    assert not (home / "data" / "models" / "docs-reranker" / "2").exists()
    assert rr("models", "rollback", "docs-reranker").exit_code == 0

    again = rr(*FINETUNE)
    assert again.exit_code == 0
    assert "Verdict: better: nDCG@10 +" in " ".join(again.stdout.split())
    assert "training" not in again.stderr
    assert ids(rr) == before  # it was told again, nothing more


def test_what_cannot_be_is_refused_before_anything_is_done(
    rr: Rr, judged: Path, home: Path
) -> None:
    too_little = rr(*FINETUNE, "--minutes", "0.1")
    assert too_little.exit_code == 1
    assert "0.1 minutes do not suffice" in too_little.stderr
    loss = rr(*FINETUNE, "--loss", "lambada", "--dry-run")
    assert loss.exit_code == 1
    assert "'lambda'" in loss.stderr
    name = rr(*FINETUNE, "--name", "my model")
    assert name.exit_code == 1
    assert "my model" in name.stderr
    (judged / "qrels" / "dev.tsv").write_bytes((judged / "qrels" / "test.tsv").read_bytes())
    twice = rr(*FINETUNE)
    assert twice.exit_code == 1
    assert "is judged in 'dev' and in 'test'" in " ".join(twice.stderr.split())
    (judged / "qrels" / "dev.tsv").unlink()
    for split in ("train", "calibration"):
        (judged / "qrels" / f"{split}.tsv").unlink()
    (judged / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nsubject1\tx\t0\n")
    none = rr(*FINETUNE)
    assert none.exit_code == 1
    assert "none is left for train (1 without a relevant document)" in " ".join(none.stderr.split())
    assert not (home / "data" / "models").exists()


def test_it_starts_from_what_serves_else_from_the_bundled_reranker_if_that_reads_the_queries() -> (
    None
):
    english = ["how do I get a refund", "what is the lift of a wing"] * 20
    chinese = ["公司解散后股东还要承担责任吗", "租房合同到期押金不退怎么办"] * 20
    served = [
        StageSettings.model_validate({"reranker": "cross-encoder", "model": "bge-reranker-base"}),
        StageSettings(reranker="max-sim"),
    ]
    assert default_base(served, chinese) == "bge-reranker-base"
    assert default_base(served[1:], english) == BUNDLED_RERANKER
    assert default_base(None, english) == BUNDLED_RERANKER
    with pytest.raises(ConfigError, match=r"do not look English, .* bge-reranker-base for Chinese"):
        default_base(None, chinese)


def test_ready_groups_take_the_place_of_mined_ones(rr: Rr, judged: Path, home: Path) -> None:
    mined = rr("mine", "--index", "docs", "--data", "judged", "-o", "train.jsonl")
    assert mined.exit_code == 0, mined.output
    beside = rr(*FINETUNE, "--groups", "train.jsonl", "--dry-run", "--json")
    assert beside.exit_code == 0, beside.output
    assert json.loads(beside.stdout)["splits"] == SIZES
    assert json.loads(beside.stdout)["mined_queries"] == 0
    alone = [each for each in FINETUNE if each not in ("--data", "judged")]
    held_out = rr(*alone, "--groups", "train.jsonl", "--dry-run", "--json")
    assert held_out.exit_code == 0, held_out.output
    splits = json.loads(held_out.stdout)["splits"]
    assert splits["train"] + splits["dev"] + splits["calibration"] == 60
    assert splits["test"] == splits["train"]  # too few to hold out: each is, from one of the folds
    assert min(splits.values()) > 0
    lines = [json.loads(line) for line in (home / "train.jsonl").read_text().splitlines()]
    for line in lines:
        for hit in line["hits"]:
            hit.pop("id")
    (home / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused = rr(*alone, "--groups", "train.jsonl")
    assert refused.exit_code == 1
    told = " ".join(refused.stderr.split())
    assert "0 of its 60 groups with a positive have the ids" in told
    assert "give judged queries with --data beside them" in told
    for content, said in (
        ("", "train.jsonl has no groups"),
        ('{"query": "q", "hits": [{"content": "t", "label": 0}]}\n', "all texts have the label 0"),
    ):
        (home / "train.jsonl").write_text(content)
        nothing = rr(*FINETUNE, "--groups", "train.jsonl", "--dry-run")
        assert nothing.exit_code == 1
        assert said in " ".join(nothing.stderr.split())


def test_a_dry_run_says_what_would_be_done(rr: Rr, judged: Path, home: Path) -> None:
    planned = rr(*FINETUNE, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.output
    plan = json.loads(planned.stdout)
    assert plan["splits"] == SIZES
    assert (plan["steps"], plan["batch_size"]) == (15, 4)  # 60 groups
    assert plan["mined_queries"] == 60
    assert plan["seconds"]["so far"] > 0
    assert set(plan["seconds"]) == {
        "so far",
        "re-tuning what serves today",
        "mining",
        "training",
        "checking positives",
        "looking at dev queries",
        "placing and calibrating",
        "proving",
        "the rest",
    }
    assert not (run_folder(home) / "groups.jsonl").exists()

    runs = home / "data" / "finetune" / "docs-reranker"
    assert len(list(runs.glob("*/run.json"))) == 1
    assert rr(*FINETUNE, "--dry-run").exit_code == 0
    assert len(list(runs.glob("*/run.json"))) == 1
    assert rr(*FINETUNE, "--dry-run", "--candidates", "40").exit_code == 0
    assert len(list(runs.glob("*/run.json"))) == 2  # whose hits are others

    (home / "data" / "indexes" / "docs").rename(home / "data" / "indexes" / "Our Docs")
    named = rr(*FINETUNE, "--index", "Our Docs", "--dry-run", "--json")
    assert named.exit_code == 0, named.output
    assert len(list((home / "data" / "finetune").glob("Our-Docs-*-reranker"))) == 1


def test_another_command_does_not_go_on_where_one_for_segments_was_stopped(
    rr: Rr, lexical: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "judged"
    (folder / "qrels").mkdir(parents=True)
    with (folder / "queries.jsonl").open("w") as file:
        for split, size in (("train", 140), ("dev", 10), ("test", 50)):
            names = [f"{split} query {number}" for number in range(size)]
            queries = [{"_id": name, "text": name, "team": "a", "desk": "b"} for name in names]
            file.writelines(f"{json.dumps(query)}\n" for query in queries)
            rows = [f"{name}\tdocument of {name}\t1\n" for name in names]
            (folder / "qrels" / f"{split}.tsv").write_text("".join(rows))
    texts = (GroupText("yes", 1.0), GroupText("no", 0.0))
    write_groups([Group(f"general {n}", texts) for n in range(200)], home / "general.jsonl")
    again = rr("index", "corpus.jsonl", "--index", "other", "--encoder", "none")
    assert again.exit_code == 0
    trained: list[str] = []

    def trains_the_first_and_is_stopped(*_: object, name: str, **__: object) -> None:
        trained.append(name)
        if name != "docs-reranker":
            raise KeyboardInterrupt

    monkeypatch.setattr(finetuning, "finetune", trains_the_first_and_is_stopped)

    def given_twice(*options: str) -> list[str]:
        trained.clear()
        for _ in range(2):
            done = rr("finetune", "--index", "docs", "--data", "judged", *options)
            assert "What is done is kept" in done.stderr
        return trained

    team, desk = (finetuning.name_of("docs-reranker", value) for value in ("a", "b"))
    for options in (
        (),
        ("--base", "another"),
        ("--replay", "general.jsonl"),
        ("--replay", "general.jsonl:1"),
        ("--protect", "docs", "judged"),
        ("--candidates", "40"),
        ("--index", "other", "--name", "docs-reranker"),
    ):
        assert given_twice("--segment", "team", *options) == ["docs-reranker", team, team], options
    assert given_twice("--segment", "desk") == ["docs-reranker", desk, desk]
    (home / "rr.toml").write_text('[[stages]]\nreranker = "max-sim"\n')
    assert given_twice("--segment", "desk") == ["docs-reranker", desk, desk]


def test_a_lone_file_of_judgments_is_said_to_be_divided(
    rr: Rr, lexical: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "judged" / "qrels").mkdir(parents=True)
    queries = [{"_id": f"q{number}", "text": f"query {number}"} for number in range(80)]
    (home / "judged" / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    rows = [f"q{number}\td{number}\t1\n" for number in range(80)]
    (home / "judged" / "qrels" / "test.tsv").write_text("".join(rows))
    monkeypatch.setattr(finetuning, "finetune", lambda *_, **__: None)
    told = rr("finetune", "--index", "docs", "--data", "judged")
    assert (
        "test alone has judgments: its queries are divided into train, dev, calibration and test"
        in " ".join(told.stderr.split())
    )
