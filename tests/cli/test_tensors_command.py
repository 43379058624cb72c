"""`rr tensors` as its user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieve_rerank import Connector, Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from tests.cli.conftest import DOCUMENTS, Rr
from tests.commands import RR
from tests.servers import Server, delete_indexes, elasticsearch, fresh_index


@pytest.fixture(params=["qdrant+local", "elasticsearch"])
def url(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    """An index for search by words alone, without tensors."""
    made: Connector
    if request.param == "elasticsearch":
        url = elasticsearch().address(fresh_index(elasticsearch()))
        made = ElasticsearchConnector.create(url, encoder=None)
    else:
        url = f"qdrant+local://{home}/collections/docs"
        made = QdrantConnector.create(url, encoder=None)
    with made:
        made.index(Document(str(each["_id"]), str(each["text"])) for each in DOCUMENTS)
    yield url
    delete_indexes()


def test_tensors_are_added_searched_with_brought_up_to_date_and_dropped(rr: Rr, url: str) -> None:
    status = rr("tensors", "status", "--index", url)
    assert "missing    4\n" in status.stdout
    assert "rr tensors add brings them up to date." in status.stderr
    assert stages(rr, url) == ["first-stage"]

    added = rr("tensors", "add", "--index", url, "--pool", "1", "--dtype", "float16")
    assert added.exit_code == 0, added.stderr
    assert added.stdout.startswith("4 tensors written (4 new, 0 replaced), 0 deleted, in ")
    assert "4 of 4 documents have one\n" in added.stdout
    assert stages(rr, url) == ["first-stage", "max-sim"]

    again = json.loads(rr("tensors", "add", "--index", url, "--json").stdout)
    assert (again["documents"], again["added"], again["replaced"]) == (4, 0, 0)
    assert again["settings"]["encoder"] == "all-MiniLM-L6-v2"
    assert (again["settings"]["dtype"], again["settings"]["pooling_factor"]) == ("float16", 1)
    other = rr("tensors", "add", "--index", url, "--dtype", "float32")
    assert other.exit_code == 1
    assert "drop" in other.stderr

    status = rr("tensors", "status", "--index", url)
    assert "present    4\nmissing    0\n" in status.stdout
    assert "384 float16 numbers a token, pooled by 1" in status.stdout
    assert "brings them up to date" not in status.stderr

    kept = rr("tensors", "drop", "--index", url, input="n\n")
    assert kept.exit_code == 1
    assert "Delete the token tensors that all-MiniLM-L6-v2 made for" in kept.stderr
    assert stages(rr, url) == ["first-stage", "max-sim"]
    assert rr("tensors", "drop", "--index", url, "--yes").stdout == (
        "The token tensors are deleted.\n"
    )
    assert stages(rr, url) == ["first-stage"]
    said = rr("search", "lift of a wing", "--index", url).stderr
    assert f"no token tensors: rr tensors add --index {url} adds them; --model" in said


def stages(rr: Rr, url: str) -> list[str]:
    result = rr("search", "lift of a wing", "--index", url, "--json")
    assert result.exit_code == 0, result.stderr
    return [stage["name"] for stage in json.loads(result.stdout)["stages"]]


def test_stopped_by_ctrl_c_it_goes_on_where_it_was(rr: Rr) -> None:
    server = elasticsearch()
    name = fresh_index(server)
    url = server.address(name)
    with ElasticsearchConnector.create(url, encoder=None) as made:
        made.index(Document(str(each["_id"]), str(each["text"])) for each in DOCUMENTS)
    slowly = [*RR, "tensors", "add", "--index", url, "--rate", "0.1"]
    with subprocess.Popen(slowly, stderr=subprocess.PIPE, text=True) as process:
        while not written(server, name) and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert "What is written is kept; the same command goes on from there." in said
    assert process.returncode == 130
    present = json.loads(rr("tensors", "status", "--index", url, "--json").stdout)["present"]
    assert 0 < present < 4
    added = json.loads(rr("tensors", "add", "--index", url, "--json").stdout)
    assert (added["added"], added["replaced"]) == (4 - present, 0)
    delete_indexes()


def written(server: Server, name: str) -> int:
    """Count the tensors that another process has written."""
    path = f"/rr-tensors-{name}/_search?ignore_unavailable=true"
    server.call("POST", f"/rr-tensors-{name}/_refresh?ignore_unavailable=true")
    return int(server.call("GET", path)["hits"]["total"]["value"])


def test_documents_in_another_language_want_a_model_chosen(rr: Rr, home: Path) -> None:
    url = f"qdrant+local://{home}/collections/docs"
    with QdrantConnector.create(url, encoder=None) as made:
        text = "Der Auftrieb des dünnen Flügels wird mit dem Winkel und mit der Wölbung größer."
        made.index(Document(f"d{i}", text) for i in range(5))
    result = rr("tensors", "add", "--index", url)
    assert result.exit_code == 1
    assert "choose a model with --model, such as bge-m3 or multilingual-e5-small" in result.stderr
    assert rr("tensors", "add", "--index", url, "--model", "all-MiniLM-L6-v2").exit_code == 0


@pytest.mark.usefixtures("dense")
def test_an_embedded_index_has_tensors_of_its_own(rr: Rr) -> None:
    for what in ("add", "drop"):
        result = rr("tensors", what, "--index", "docs")
        assert result.exit_code == 1
        assert "an embedded index makes its token tensors itself" in result.stderr
    status = rr("tensors", "status", "--index", "docs")
    assert status.exit_code == 0
    assert "present    4\nmissing    0\n" in status.stdout
    assert "384 int8 numbers a token, pooled by 2" in status.stdout


@pytest.mark.parametrize("what", ["add", "status", "drop", "refresh"])
def test_an_embedded_index_for_words_alone_says_how_it_gets_tensors(
    rr: Rr, corpus: Path, what: str
) -> None:
    assert rr("index", str(corpus), "--index", "docs", "--encoder", "none").exit_code == 0
    model = ["--model", "all-MiniLM-L6-v2"] if what == "refresh" else []
    result = rr("tensors", what, "--index", "docs", *model)
    assert result.exit_code == 1
    assert "for search by words alone" in result.stderr
    assert "--recreate --encoder MODEL" in result.stderr
    assert "rr tensors" not in result.stderr  # which could not help


def test_an_empty_index_has_no_tensors(rr: Rr) -> None:
    result = rr("tensors", "status", "--index", "memory://", "--json")
    assert json.loads(result.stdout) == {
        "index": "memory",
        "settings": None,
        **{"documents": 0, "present": 0, "missing": 0, "stale": 0, "orphaned": 0},
        "kept_in": None,
    }
    assert rr("tensors", "drop", "--index", "memory://").stdout == "There are no token tensors.\n"


@pytest.mark.parametrize(
    "wrong", [("--pool", "0"), ("--rate", "0"), ("--dtype", "float64"), ("--modell", "x")]
)
def test_wrong_usage_is_exit_code_2(rr: Rr, wrong: tuple[str, str]) -> None:
    result = rr("tensors", "add", "--index", "memory://", *wrong)
    assert result.exit_code == 2
    assert wrong[0] in result.stderr
