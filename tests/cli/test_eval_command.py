"""`rr eval` as its user meets it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retrieve_rerank.cli import main
from retrieve_rerank.evaluation.files import write_text

QRELS = "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\tgood\t1\n" for i in range(8))
GOOD = "".join(f"q{i} Q0 good 1 2 good\nq{i} Q0 bad 2 1 good\n" for i in range(8))
BAD = "".join(f"q{i} Q0 bad 1 2 bad\nq{i} Q0 good 2 1 bad\n" for i in range(8))


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RR_DATA_DIR", str(tmp_path / "data"))
    for name, text in (("qrels.tsv", QRELS), ("good.run", GOOD), ("bad.run", BAD)):
        (tmp_path / name).write_text(text)
    return tmp_path


def rr(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eval", *arguments])


@pytest.fixture
def folder(files: Path) -> str:
    """A BEIR folder, gzipped, and an embedded index of it named docs."""
    folder = files / "pets"
    (folder / "qrels").mkdir(parents=True)
    texts = {
        "corpus.jsonl.gz": [
            {"_id": "cat", "title": "Cats", "text": "A cat purrs and catches mice."},
            {"_id": "dog", "title": "Dogs", "text": "A dog barks and fetches sticks."},
            {"_id": "fish", "title": "Fish", "text": "A fish swims in a bowl of water."},
        ],
        "queries.jsonl.gz": [
            {"_id": "q1", "text": "which animal purrs"},
            {"_id": "q2", "text": "pet that barks"},
            {"_id": "q3", "text": "nobody judged this"},
        ],
    }
    for name, records in texts.items():
        lines = "\n".join(json.dumps(record) for record in records)
        (folder / name).write_bytes(gzip.compress(lines.encode()))
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\tcat\t2\nq2\tdog\t1\nq2\tgone\t1\nq9\tfish\t1\n"
    )
    indexed = CliRunner().invoke(main, ["index", str(folder), "--index", "docs"])
    assert indexed.exit_code == 0, indexed.output
    return str(folder)


def test_an_index_is_measured_stage_by_stage_and_what_is_missing_is_said(folder: str) -> None:
    result = rr("--index", "docs", "--data", folder, "--measure", "MRR@10", "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert [stage["name"] for stage in values["stages"]] == ["first-stage", "max-sim"]
    for stage in values["stages"]:
        assert stage["per_query"]["MRR@10"] == {"q1": 1.0, "q2": 1.0, "q9": 0.0}
        assert stage["measures"]["MRR@10"] == pytest.approx(2 / 3)
    assert values["comparisons"][0]["ties"] == 3
    assert "Judged queries without a text: 1 of 3" in result.stderr
    assert "Judged documents that the index lacks: 1 of 4" in result.stderr


def test_written_runs_measure_the_same_without_the_index(folder: str, files: Path) -> None:
    measures = ("--measure", "nDCG@10", "--measure", "MAP", "--json")
    searched = rr("--data", folder, "--rerank", "none", "--run-out", "runs", *measures)
    assert searched.exit_code == 0, searched.stderr
    assert [file.name for file in (files / "runs").iterdir()] == ["first-stage.run"]
    read = rr("--data", folder, "--run", "runs/first-stage.run", *measures)
    (before,), (after,) = (json.loads(run.stdout)["stages"] for run in (searched, read))
    assert before["per_query"] == after["per_query"]


def test_a_stage_can_be_the_baseline(folder: str) -> None:
    result = rr("--data", folder, "--measure", "MRR@10", "--baseline", "max-sim")
    assert "less max-sim" in result.stdout
    assert "first-stage changes nothing." in result.stdout


def test_queries_and_judgments_can_be_two_files(folder: str) -> None:
    result = rr(
        "--queries", f"{folder}/queries.jsonl.gz", "--qrels", f"{folder}/qrels/test.tsv",
        "--limit", "1", "--measure", "MRR@10",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("1 queries  first-stage  max-sim  whole search")


def test_an_unknown_baseline_is_answered_with_the_stages_before_any_search(folder: str) -> None:
    result = rr("--data", folder, "--baseline", "cross-encoder")
    assert result.exit_code == 1
    assert "expected a stage (first-stage, max-sim) or a TREC run file" in result.stderr


def test_judgments_of_another_collection_are_refused(folder: str, files: Path) -> None:
    result = rr("--queries", f"{folder}/queries.jsonl.gz", "--qrels", str(files / "qrels.tsv"))
    assert result.exit_code == 1
    assert "the index holds none of the 1 judged documents" in result.stderr


def test_a_missing_index_is_answered_with_how_to_make_it(folder: str) -> None:
    result = rr("--index", "other", "--data", folder)
    assert result.exit_code == 1
    assert "rr index SOURCE --index other" in result.stderr


def test_a_run_file_is_measured_without_an_index() -> None:
    result = rr("--run", "bad.run", "--qrels", "qrels.tsv", "--measure", "MRR@10")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == ["8", "queries", "bad.run", "MRR@10", "0.5000"]
    assert result.stderr == ""


def test_a_run_file_is_measured_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RR_INDEX", "docs")
    assert rr("--run", "good.run", "--qrels", "qrels.tsv").exit_code == 0


def test_a_baseline_run_brings_differences_and_a_verdict() -> None:
    result = rr(
        "--run", "bad.run", "--qrels", "qrels.tsv", "--measure", "MRR@10", "--baseline", "good.run"
    )  # fmt: skip
    assert "−0.5000 ▼" in result.stdout
    assert "bad.run hurts. MRR@10 falls from 1.0000 (good.run) to 0.5000" in result.stdout


def test_json_is_one_line_on_stdout_and_notes_go_to_stderr(files: Path) -> None:
    (files / "good.run").write_text("".join(GOOD.splitlines(keepends=True)[2:]))
    result = rr(
        "--run", "good.run", "--qrels", "qrels.tsv", "--baseline", "bad.run",
        "--measure", "MRR@10", "--measure", "HR@1", "--json",
    )  # fmt: skip
    (line,) = result.stdout.splitlines()
    values = json.loads(line)
    assert values["stages"][0]["per_query"]["MRR@10"]["q0"] == 0.0
    assert [row["measure"] for row in values["comparisons"]] == ["MRR@10", "HR@1"]
    assert values["comparisons"][0]["wins"] == 7
    assert "good.run has no results for 1 of the 8 judged queries" in result.stderr


def test_a_report_is_written_where_it_was_asked_for(files: Path) -> None:
    result = rr(
        "--run", "good.run", "--qrels", "qrels.tsv", "--baseline", "bad.run",
        "--report", "new/report.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "good.run helps." in (files / "new" / "report.html").read_text()


@pytest.mark.parametrize(
    ("option", "path", "unwritable"),
    [
        ("--report", "/proc/report.html", "/proc/report.html"),
        ("--run-out", "/proc", "/proc/first-stage.run"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_search(
    option: str, path: str, unwritable: str
) -> None:
    Path("q.tsv").write_text("q1\twhich animal purrs\n")
    result = rr("--index", "none", "--queries", "q.tsv", "--qrels", "qrels.tsv", option, path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Error: cannot write {unwritable}: " in result.stderr


def test_limit_uses_judged_queries_evenly_spread(files: Path) -> None:
    arguments = ("--run", "bad.run", "--qrels", "qrels.tsv", "--json")

    def queries(*more: str) -> list[str]:
        [stage] = json.loads(rr(*arguments, *more).stdout)["stages"]
        return list(stage["per_query"]["nDCG@10"])

    every, some = queries(), queries("--limit", "3")
    assert some == [every[i * len(every) // 3] for i in range(3)]


def test_top_k_measures_the_first_hits_only() -> None:
    result = rr("--run", "bad.run", "--qrels", "qrels.tsv", "--measure", "MRR", "--top-k", "1")
    assert "0.0000" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give --data FOLDER, or --queries FILE and --qrels FILE"),
        (["--qrels", "qrels.tsv"], 2, "give --data FOLDER, or --queries FILE and --qrels FILE"),
        (["--run", "good.run"], 2, "give --data FOLDER, or --queries FILE and --qrels FILE"),
        (["--data", ".", "--qrels", "qrels.tsv"], 2, "--queries and --qrels, not both"),
        (["--run", "good.run", "--qrels", "qrels.tsv", "--rerank", "max-sim"], 2, "no --rerank"),
        (
            ["--run", "good.run", "--index", "docs", "--candidates", "5", "--deadline", "1"],
            2,
            "it takes no --index, --candidates, --deadline",
        ),
        (["--run", "no.run", "--qrels", "qrels.tsv"], 2, "'no.run' does not exist"),
        (["--run", "good.run", "--qrels", "qrels.tsv", "--top-k", "0"], 2, "not in the range"),
        (["--run", "good.run", "--qrels", "good.run"], 1, "good.run:1: expected query, document"),
        (["--run", "good.run", "--qrels", "qrels.tsv", "--measure", "x"], 1, "unknown measure"),
        (["--run", "good.run", "--qrels", "qrels.tsv", "--baseline", "x"], 1, "as --baseline"),
        (["--run", "good.run", "--qrels", "qrels.tsv", "--report", "good.run/r.html"], 1, "folder"),
    ],
)
def test_mistakes_get_one_line_and_an_exit_code(
    arguments: list[str], code: int, message: str
) -> None:
    result = rr(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_missing_package_is_answered_with_the_pip_command() -> None:
    program = (
        "import sys; sys.modules['ir_measures'] = None\n"
        "from retrieve_rerank.cli import main; main(['eval', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Error: rr eval needs the extra 'eval': pip install 'retrieve-rerank[eval]'"
    )


def test_half_a_surrogate_pair_in_a_query_is_searched_measured_and_written(
    folder: str, files: Path
) -> None:
    queries = files / "queries.jsonl"
    queries.write_text('{"_id": "q1", "text": "which animal purrs \\ud83d"}')
    judgments = str(Path(folder) / "qrels" / "test.tsv")
    command = ["--index", "docs", "--queries", str(queries), "--qrels", judgments]
    assert rr(*command, "--report", "report.html").exit_code == 0
    write_text(files / "any.html", "which animal purrs \ud83d")
    assert (files / "any.html").read_text(encoding="utf-8") == "which animal purrs ?"
    assert json.loads(rr(*command, "--json").stdout_bytes)
