from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from retrieve_rerank import registry
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.errors import ModelError
from retrieve_rerank.testing import OverlapScorer
from tests.cli.conftest import Rr
from tests.commands import RR


class Failing(OverlapScorer):
    name = "failing"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        raise ModelError("out of memory")


class Unlikely(OverlapScorer):
    name = "unlikely"

    def probabilities(self, scores: Sequence[float]) -> list[float]:
        return [0.1] * len(scores)


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def ids(result: Result) -> list[str]:
    return [hit["id"] for hit in answer(result)["hits"]]


@pytest.mark.usefixtures("dense")
def test_json_tells_hits_and_stages_and_how_each_hit_came_to_its_rank(rr: Rr) -> None:
    result = rr("search", "heat in pipes", "--top-k", "2", "--json")
    found = answer(result)
    assert result.stderr == ""
    assert (found["query"], found["degraded"]) == ("heat in pipes", False)
    best = found["hits"][0]
    assert (best["id"], best["rank"], best["title"]) == ("heat", 1, "Heat")
    assert best["metadata"] == {"title": "Heat", "year": 1960}
    assert best["ranks"] == {"first-stage": 1, "max-sim": 1}
    assert best["scores"]["max-sim"] == best["score"] != best["scores"]["first-stage"]
    assert best["sources"].keys() >= {"dense", "bm25"}
    assert [stage["name"] for stage in found["stages"]] == ["first-stage", "max-sim"]
    assert found["stages"][1].keys() >= {"ms", "candidates", "scored", "truncated", "error"}


@pytest.mark.usefixtures("dense")
def test_people_see_ranks_titles_and_snippets(rr: Rr) -> None:
    result = rr("search", "heat in pipes", "--top-k", "1")
    assert result.exit_code == 0
    header, _, hit, text, *_ = result.stdout.splitlines()
    assert header.split() == ["rank", "was", "score", "document"]
    assert hit.split()[:3] == ["1", "=", "1"]
    assert hit.split()[-2:] == ["Heat", "heat"]
    assert text.strip() == "Heat transfer in a pipe."


@pytest.mark.usefixtures("dense")
def test_explain_shows_each_stage_and_the_path_of_each_hit(rr: Rr) -> None:
    result = rr("search", "heat in pipes", "--top-k", "1", "--explain")
    assert "dense 1, bm25 1 → first-stage 1 → max-sim 1" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[-3:]] == [
        "stage",
        "first-stage",
        "max-sim",
    ]


@pytest.mark.usefixtures("lexical")
def test_an_index_without_vectors_is_searched_by_words_alone(rr: Rr) -> None:
    found = answer(rr("search", "wings", "--json"))
    assert [stage["name"] for stage in found["stages"]] == ["first-stage"]


@pytest.mark.usefixtures("lexical")
def test_a_search_by_words_alone_loads_no_model_library(home: Path) -> None:
    code = (
        "import sys\n"
        "from retrieve_rerank.cli import main\n"
        "main(['search', 'wing', '--json'], standalone_mode=False)\n"
        "print([name for name in ('openvino', 'torch', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("lexical")
def test_control_characters_of_a_document_do_not_reach_the_terminal(rr: Rr) -> None:
    assert "\x1b" not in rr("search", "tunnel").stdout


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["year=1960"], {"drag"}),
        (["year=1950", "year=1970"], {"lift", "both"}),
        (["year>=1960"], {"drag", "both"}),
        (["year>1950", "year<1970"], {"drag"}),
        (["year=1950", "title=Drag"], set()),
    ],
)
def test_filters_select_by_metadata(rr: Rr, filters: list[str], expected: set[str]) -> None:
    options = [part for each in filters for part in ("--filter", each)]
    assert set(ids(rr("search", "wing", "--json", *options))) == expected


@pytest.mark.usefixtures("lexical")
def test_a_search_that_finds_nothing_says_so(rr: Rr) -> None:
    result = rr("search", "zebra")
    assert (result.exit_code, result.stdout) == (0, "Nothing found.\n")


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", ""], 1, "Error: the query is empty; expected text to search for"),
        (["search", "  "], 1, "Error: the query is empty; expected text to search for"),
        (["search", "wing", "--top-k", "0"], 2, "Invalid value for '--top-k'"),
        (["search", "wing", "--candidates", "0"], 2, "Invalid value for '--candidates'"),
        (["search", "wing", "--deadline", "0"], 2, "Invalid value for '--deadline'"),
        (["search", "wing", "--weight", "2"], 2, "Invalid value for '--weight'"),
        (
            ["search", "wing", "--filter", "colour=1"],
            1,
            "the index has no field 'colour' to filter by; known: ",
        ),
        (["search", "wing", "--filter", "year=new"], 1, "filter year:"),
        (["search", "wing", "--filter", "year"], 1, "cannot read the filter 'year'"),
        (["search", "wing", "--rerank", "max-sin"], 1, "unknown reranker 'max-sin'; known: "),
        (["search", "wing", "--rerank", "none", "--depth", "3"], 2, "--depth needs a reranker"),
        (["search", "wing", "--index", "dosc"], 1, "no index dosc; known: docs."),
        (["search", "wing", "--index", ""], 1, "the index has an empty name"),
        (["search", "wing", "--model", "gone"], 1, "gone"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    rr: Rr, arguments: list[str], code: int, message: str
) -> None:
    result = rr(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr.splitlines()[-1]


def test_without_an_index_the_message_says_how_to_make_one(rr: Rr) -> None:
    result = rr("search", "wing")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: there is no index yet; make one: rr index SOURCE --index NAME\n"
    )


@pytest.mark.usefixtures("lexical")
def test_of_several_indexes_one_must_be_chosen(rr: Rr, corpus: Path, home: Path) -> None:
    rr("index", str(corpus), "--index", "more", "--encoder", "none")
    result = rr("search", "wing")
    assert result.exit_code == 1
    assert "several indexes: docs, more; choose one with --index" in result.stderr
    (home / "rr.toml").write_text('index = "more"')
    assert rr("search", "wing").exit_code == 0


@pytest.mark.usefixtures("dense")
def test_a_query_longer_than_the_model_reads_is_searched_for_with_a_warning(rr: Rr) -> None:
    result = rr("search", "heat in pipes " * 300, "--json")
    assert answer(result)["hits"][0]["id"] == "heat"
    assert (
        "Note: the query is longer than the model reads: only its beginning counts" in result.stderr
    )


@pytest.mark.usefixtures("lexical")
def test_a_stage_that_fails_leaves_the_order_and_is_warned_of(
    rr: Rr, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.Entry(f"{__name__}:Failing")
    monkeypatch.setattr(registry, "RERANKERS", {**registry.RERANKERS, "failing": entry})
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Failing.__module__])
    before = ids(rr("search", "wing", "--json"))
    result = rr("search", "wing", "--rerank", "failing", "--json")
    assert answer(result)["degraded"]
    assert ids(result) == before
    assert result.stderr == "Warning: failing left the order as it was: out of memory\n"


@pytest.mark.usefixtures("lexical")
def test_a_search_whose_hits_a_threshold_dropped_says_so(
    rr: Rr, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.Entry(f"{__name__}:Unlikely")
    monkeypatch.setattr(registry, "RERANKERS", {**registry.RERANKERS, "unlikely": entry})
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Unlikely.__module__])
    stage = '[[stages]]\nreranker = "unlikely"\ndepth = 2\n'
    (home / "rr.toml").write_text(f"{stage}min_probability = 0.5")
    result = rr("search", "wing")
    assert (result.exit_code, result.stdout) == (0, "Nothing found.\n")
    assert result.stderr == (
        "Note: unlikely dropped 3 of 3 hits: of 2 that it scored, 0 reach its min_probability of"
        " 0.5\n"
    )
    (home / "rr.toml").write_text(f"{stage}min_probability = 0.05")
    assert rr("search", "wing").stderr == ""


@pytest.mark.usefixtures("lexical")
def test_rerank_depth_and_weight_make_the_stage(rr: Rr) -> None:
    found = answer(rr("search", "wing", "--rerank", "max-sim", "--depth", "2", "--json"))
    assert [stage["scored"] for stage in found["stages"]] == [3, 2]
    found = answer(rr("search", "wing", "--weight", "0", "--json"))
    assert [hit["ranks"]["first-stage"] for hit in found["hits"]] == [1, 2, 3]


@pytest.mark.usefixtures("dense")
def test_settings_come_from_the_file_and_the_environment_too(
    rr: Rr, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "rr.toml").write_text("top_k = 1\nstages = []")
    assert len(answer(rr("search", "wing", "--json"))["hits"]) == 1
    monkeypatch.setenv("RR_TOP_K", "2")
    found = answer(rr("search", "wing", "--json"))
    assert (len(found["hits"]), len(found["stages"])) == (2, 1)
    assert len(answer(rr("search", "wing", "--json", "--top-k", "3"))["hits"]) == 3


@pytest.mark.usefixtures("lexical")
def test_a_reader_that_goes_away_is_no_error_to_speak_of(home: Path) -> None:
    with subprocess.Popen(
        [*RR, "search", "wing", "--rerank", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.usefixtures("lexical")
def test_two_searches_started_together_both_answer(home: Path) -> None:
    processes = [
        subprocess.Popen([*RR, "search", "wing", "--json"], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [len(found["hits"]) for found in answers] == [3, 3]
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--weight", "nan", "nan is not a number."),
        ("--weight", "inf", "inf is not in the range 0<=x<=1."),
        ("--deadline", "nan", "nan is not a number."),
        ("--deadline", "inf", "inf is not in the range 0<x<=1000000."),
        ("--deadline", "1e300", "1e+300 is not in the range 0<x<=1000000."),
    ],
)
def test_numbers_that_cannot_be_are_wrong_usage(
    rr: Rr, option: str, value: str, message: str
) -> None:
    result = rr("search", "wing", "--rerank", "max-sim", option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.usefixtures("lexical")
def test_a_deadline_from_the_environment_is_read_as_the_option_is(
    rr: Rr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RR_DEADLINE_S", "inf")
    result = rr("search", "wing")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "inf is not in the range 0<x<=1000000." in result.stderr
    monkeypatch.setenv("RR_DEADLINE_S", "1000000")
    assert rr("search", "wing").exit_code == 0


@pytest.mark.usefixtures("dense")
def test_an_index_made_with_another_model_is_refused(rr: Rr, tmp_path: Path) -> None:
    [manifest] = (tmp_path / "home").rglob("manifest.json")
    content = json.loads(manifest.read_text())
    content["encoder"]["fingerprint"] = "another"
    manifest.write_text(json.dumps(content))
    result = rr("search", "wing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "was made with all-MiniLM-L6-v2" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("lexical")
def test_an_index_in_use_by_another_process_is_waited_for_then_named(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "retrieve-rerank" / "indexes" / "docs"
    with EmbeddedConnector.connect(str(folder)):
        done = subprocess.run([*RR, "search", "wing"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    waits, error = done.stderr.splitlines()
    assert f"in use by process {os.getpid()}" in error
    assert waits != error and str(folder) in waits


@pytest.mark.usefixtures("lexical")
def test_where_nothing_reranks_it_is_said_what_would(rr: Rr) -> None:
    said = "Note: nothing is reranked, as the index has no token tensors: --model"
    assert said in rr("search", "wing", "--index", "docs").stderr
    assert said in rr("search", "wing", "--index", "docs", "--json").stderr
    assert rr("search", "wing", "--index", "docs", "--rerank", "none").stderr == ""
    assert rr("search", "wing", "--index", "docs", "--model", "all-MiniLM-L6-v2").stderr == ""
