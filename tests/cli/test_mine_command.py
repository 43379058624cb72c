"""`rr mine` as its user meets it."""

from __future__ import annotations

import json
import subprocess
import time
from io import StringIO
from pathlib import Path

import pytest

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.mining import print_report
from retrieve_rerank.training.mining import Mined, Overlap
from retrieve_rerank.training.mining.journal import Journal
from tests.cli.conftest import Rr
from tests.commands import RR

QUERIES = {"q1": "lift of a wing", "q2": "drag of slender wings", "q3": "heat in a pipe"}


@pytest.fixture
def judged(home: Path) -> list[str]:
    (home / "queries.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in QUERIES.items()))
    (home / "qrels.tsv").write_text("q1\tlift\t2\nq2\tdrag\t1\nq3\tnowhere\t1\nq4\tlift\t1\n")
    return ["--index", "docs", "--queries", "queries.tsv", "--qrels", "qrels.tsv", "-o", "g.jsonl"]


def groups(home: Path) -> dict[str, dict[str, float]]:
    lines = [json.loads(line) for line in (home / "g.jsonl").read_text().splitlines()]
    return {line["query_id"]: {hit["id"]: hit["label"] for hit in line["hits"]} for line in lines}


def test_groups_are_written_and_what_was_left_out_is_told(
    rr: Rr, lexical: None, judged: list[str], home: Path
) -> None:
    result = rr("mine", *judged, "--filter", "year<1970")
    assert result.exit_code == 0
    assert groups(home)["q1"].pop("lift") == 2
    assert groups(home)["q2"].pop("drag") == 1
    assert {label for its in groups(home).values() for label in its.values()} == {0, 1, 2}
    assert "both" not in groups(home)["q1"]  # of 1970
    assert "2 groups of 3 queries" in result.stdout
    assert "The search returned 2 of the 2 positives that the index holds (100.0%)" in result.stdout
    assert "The index does not hold 1 judged positives." in result.stdout
    assert "1 queries without a relevant text in the index: q3" in result.stdout
    assert "1 judged queries have no text." in result.stdout
    assert "Groups: g.jsonl" in result.stderr
    again = rr("mine", *judged, "--filter", "year<1970", "--json")
    report = json.loads(again.stdout)
    assert (report["groups"], report["not_held"], report["settings"]["seed"]) == (2, 1, 0)
    assert report["overlap"] is None  # no vectors are searched


def test_users_are_read_from_a_file_of_queries(
    rr: Rr, lexical: None, judged: list[str], home: Path
) -> None:
    asked = {"_id": "q1", "text": "lift of a wing", "user": "a pilot"}
    (home / "queries.tsv").write_text(json.dumps(asked) + "\nq2\tdrag of slender wings\n")
    assert rr("mine", *judged).exit_code == 0
    lines = map(json.loads, (home / "g.jsonl").read_text().splitlines())
    assert {line["query_id"]: line.get("user") for line in lines} == {"q1": "a pilot", "q2": None}


def test_what_approximate_search_misses_is_told() -> None:
    said = StringIO()
    overlap = Overlap(queries=50, depth=100, share=0.987)
    print_report(Console(file=said, width=200), Mined(), veto=None, overlap=overlap)
    assert "finds 98.7% of the true nearest 100 (of 50 queries searched exactly too)" in " ".join(
        said.getvalue().split()
    )


def test_vetoed_texts_and_methods_go_by_what_is_asked(
    rr: Rr, dense: None, judged: list[str], home: Path
) -> None:
    where = ["--method", "dense", "--exact", "--sampling", "top", "--relative-margin", "1"]
    assert rr("mine", *judged, *where).exit_code == 0
    assert set(groups(home)["q1"]) == {"lift", "drag", "heat", "both"}
    refused = rr("mine", *judged)
    assert refused.exit_code == 1
    assert "g.jsonl was begun with other settings: stages was" in refused.stderr
    assert refused.stderr.count("rules was") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--exact"], "--exact compares vectors; it needs --method dense"),
        (["--relative-margin", "95"], "95"),
        (["--first-rank", "5", "--last-rank", "4"], "the last rank must not come before the first"),
        (["--relative-margin", "0.9"], "a share of a BM25 or a fused score means nothing"),
        (["--method", "dense"], "leave no ranking"),
        (["--veto", "served"], "this index is served without a cross-encoder; name a model"),
        (["--method", "hybrid", "--veto", "served"], "needs --method served"),
        (["--first-rank", "90"], "no group could be mined: of 3 queries 1 have no relevant text"),
        (["--negatives", "0"], "negatives"),
    ],
)
def test_what_cannot_be_mined_says_why_and_leaves_nothing(
    rr: Rr, lexical: None, judged: list[str], home: Path, options: list[str], message: str
) -> None:
    result = rr("mine", *judged, *options)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.stderr.split())
    assert not list(home.glob("g.jsonl*"))


def test_no_queries_and_no_judgments_are_told(rr: Rr, lexical: None, judged: list[str]) -> None:
    Path("queries.tsv").write_text("")
    assert "queries.tsv holds no queries" in rr("mine", *judged).stderr
    Path("queries.tsv").write_text("other\ttext\n")
    assert "none of the 4 judged queries has a text" in rr("mine", *judged).stderr


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_the_groups_are_the_same(
    rr: Rr, lexical: None, judged: list[str], home: Path
) -> None:
    many = {f"q{n}": f"wings and lift {n}" for n in range(3000)}
    Path("queries.tsv").write_text("".join(f"{id_}\t{text}\n" for id_, text in many.items()))
    Path("qrels.tsv").write_text("".join(f"{id_}\tlift\t1\n" for id_ in many))
    record = home / "g.jsonl.mining"
    for lines in (3, 4):  # settings, the start, and a second's work or two
        process = subprocess.Popen(
            [*RR, "mine", *judged], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            if record.exists() and record.read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.02)
        process.kill()
        process.wait()
    assert not (home / "g.jsonl").exists()
    kept = (home / "g.jsonl.partial").read_bytes()
    assert kept
    resumed = rr("mine", *judged)
    assert resumed.exit_code == 0, resumed.stderr
    whole = (home / "g.jsonl").read_bytes()
    assert whole.startswith(kept[: kept.rindex(b"\n")])
    assert rr("mine", *judged[:-1], "unbroken.jsonl").exit_code == 0
    assert (home / "unbroken.jsonl").read_bytes() == whole
    assert whole.count(b"\n") == len(many)


def test_two_processes_do_not_mine_into_one_file(
    rr: Rr, lexical: None, judged: list[str], home: Path
) -> None:
    with Journal(home / "g.jsonl.mining"):
        result = rr("mine", *judged)
    assert result.exit_code == 1
    assert "another process is mining into g.jsonl; wait for it" in result.stderr
