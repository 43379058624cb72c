"""`rr audit` as its user meets it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Rr
from tests.connectors.qdrant.stub import Stub, serving


@pytest.fixture
def queries(home: Path) -> str:
    path = home / "queries.tsv"
    path.write_text("".join(f"q{i}\tlift of wing number {i}\n" for i in range(6)))
    return str(path)


@pytest.fixture
def qrels(home: Path) -> str:
    path = home / "qrels.tsv"
    path.write_text("q1 0 lift 1\nq4 0 drag 1\n")
    return str(path)


@pytest.fixture
def stub(rr: Rr, corpus: Path) -> Iterator[Stub]:
    """A server of Qdrant that says to have built a graph."""
    with serving(Stub()) as made:
        assert rr("index", str(corpus), "--index", made.url).exit_code == 0
        made.described = {"points_count": 100_000, "indexed_vectors_count": 90_000}
        yield made


def test_every_setting_is_shown_with_what_it_means(
    rr: Rr, queries: str, home: Path, stub: Stub
) -> None:
    outputs = ("--report", str(home / "new" / "audit.html"), "--plot", str(home / "audit.png"))
    result = rr("audit", "--index", stub.url, "--queries", queries, *outputs)
    assert result.exit_code == 0, result.stderr
    assert "Recall@10 is 1.0000 as searches are set now (hnsw_ef 256)" in result.stdout
    assert "quant." in result.stdout
    assert f"Plot: {home / 'audit.png'}" in result.stderr
    assert (home / "new" / "audit.html").read_text().startswith("<!doctype html>")
    assert (home / "audit.png").stat().st_size > 1000


def test_an_audit_is_written_as_json(rr: Rr, queries: str, qrels: str, stub: Stub) -> None:
    options = ("--qrels", qrels, "--top-k", "3", "--limit", "1", "--json")
    result = rr("audit", "--index", stub.url, "--queries", queries, *options)
    assert result.stderr == ""
    values = json.loads(result.stdout)
    assert (values["queries"], values["documents"]) == (1, 4)
    assert values["relevance"]["queries"] == 1  # judged ones come before all others
    assert {each["top_k"] for each in values["measured"]} == {3}


def test_a_graph_that_is_being_built_is_waited_for(
    rr: Rr, queries: str, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieve_rerank.cli.commands.audit._POLL_S", 0.05)
    stub.described["status"] = "yellow"
    refused = rr("audit", "--index", stub.url, "--queries", queries)
    assert refused.exit_code == 1
    assert "rr audit --wait waits for it" in refused.stderr
    threading.Timer(1.0, lambda: stub.described.update(status="green")).start()
    waited = rr("audit", "--index", stub.url, "--queries", queries, "--top-k", "3", "--wait")
    assert waited.exit_code == 0, waited.stderr
    assert "Waiting for the graph: the collection's status is yellow" in waited.stderr


@pytest.mark.usefixtures("dense")
def test_an_index_without_a_graph_is_not_audited_but_its_encoder_is(
    rr: Rr, queries: str, qrels: str, home: Path
) -> None:
    result = rr("audit", "--index", "docs", "--queries", queries)
    assert result.exit_code == 1
    assert "nothing was audited: every search of" in result.stderr
    plot = str(home / "audit.svg")
    result = rr("audit", "--index", "docs", "--queries", queries, "--qrels", qrels, "--plot", plot)
    assert result.exit_code == 0, result.stderr
    assert "Nothing was audited: every search is exact, as its vectors are 6 kB" in result.stdout
    assert "2 judged queries" in result.stdout
    assert "hnsw_ef" not in result.stdout


@pytest.mark.usefixtures("lexical")
def test_an_index_without_vectors_is_an_error(rr: Rr, queries: str) -> None:
    result = rr("audit", "--index", "docs", "--queries", queries)
    assert result.exit_code == 1
    assert "use no vectors" in result.stderr


def test_a_picture_in_no_known_format_is_wrong_usage(rr: Rr, queries: str) -> None:
    result = rr("audit", "--index", "docs", "--queries", queries, "--plot", "audit.doc")
    assert result.exit_code == 2
    assert "--plot writes .png, .svg, .pdf; got 'audit.doc'" in result.stderr


def test_what_cannot_be_written_is_refused_before_any_search(rr: Rr, queries: str) -> None:
    for option, path in (("--report", "/proc/audit.html"), ("--plot", "/proc/audit.png")):
        result = rr("audit", "--index", "docs", "--queries", queries, option, path)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"Error: cannot write {path}: " in result.stderr
