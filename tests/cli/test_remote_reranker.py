"""Reranking services on the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.models.services import http
from tests.cli.conftest import Rr
from tests.commands import RR
from tests.models.chat_api import documented as chat_documented
from tests.models.embedding_server import Reply, ok, serve
from tests.rerankers.rerank_server import documented, score

QUERY = "lift of wings"


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize("named", [True, False])
def test_a_service_reranks_a_search(rr: Rr, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    with serve(documented) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", "secret")
        reranker = ["--rerank", "remote"] if named else []
        result = rr("search", QUERY, *reranker, "--model", "cohere:rerank-v3.5", "--json")

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    sent = server.requests[0][2]["documents"]
    assert [hit["score"] for hit in answer["hits"]] == sorted(
        (score(QUERY, text) for text in sent), reverse=True
    )
    assert [stage["name"] for stage in answer["stages"]] == ["first-stage", "remote"]
    assert "secret" not in result.output


@pytest.mark.usefixtures("lexical")
def test_a_service_that_fails_leaves_the_order_with_a_warning(
    rr: Rr, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(documented) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        server.replies.append((401, {}, b'{"message": "invalid api token"}'))
        result = rr("search", QUERY, "--model", "cohere:rerank-v3.5", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["hits"]
    assert "invalid api token; set CO_API_KEY to a key that it accepts" in result.stderr


@pytest.mark.usefixtures("lexical")
def test_a_service_without_a_model_is_an_error_that_names_some(rr: Rr) -> None:
    result = rr("search", QUERY, "--rerank", "remote")

    assert result.exit_code == 1
    assert "remote needs a model: cohere:rerank-v3.5" in result.stderr


def line(*documents: str) -> str:
    return json.dumps({"query": "q", "documents": documents}) + "\n"


def test_lists_are_reranked_by_a_service(rr: Rr) -> None:
    with serve(documented) as server:
        result = rr("rerank", "--model", f"tei:{server.url}", input=line("a", "b"))

    [first, second] = json.loads(result.stdout)["documents"]
    assert {first["text"]: first["score"], second["text"]: second["score"]} == {
        "a": score("q", "a"),
        "b": score("q", "b"),
    }
    assert first["score"] > second["score"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((400, {}, b'{"error": "bad text"}'), "answered 400: bad text"),
        ((413, {}, b"too large"), "answered 413: too large"),
        ((422, {}, b'{"error": "too long"}'), "answered 422: too long"),
        ((500, {}, b"crash"), "answered 500: crash"),
        (ok([]), "gave 0 scores for 1 documents"),
        (ok({"scores": 1}), "answered in another form than tei servers do"),
        ((200, {}, b"<html>"), "answered something else than JSON"),
    ],
    ids=["400", "413", "422", "500", "too few", "another form", "no JSON"],
)
def test_a_line_that_a_service_cannot_serve_is_named_and_left_out(
    rr: Rr, monkeypatch: pytest.MonkeyPatch, reply: Reply, message: str
) -> None:
    monkeypatch.setattr(http, "_JITTER", lambda state: 0.0)
    with serve(lambda path, body: reply if "bad" in body["texts"] else documented(path, body)) as s:
        tasks = line("a") + line("bad") + line("b")
        result = rr("rerank", "--model", f"tei:{s.url}", input=tasks)

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    first, last = result.stderr.splitlines()
    assert first.startswith("Error: line 2: no scores: tei:http")
    assert message in first
    assert last == "Error: 1 line could not be reranked; the rest is done"


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "set TEI_API_KEY"), (404, "check the name"), (429, "answered 429"), (503, "503: busy")],
)
def test_what_would_fail_for_every_line_ends_the_run(
    rr: Rr, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    monkeypatch.setattr(http, "_JITTER", lambda state: 0.0)
    with serve(documented) as server:
        first = documented("/rerank", {"query": "q", "texts": ["a"]})
        server.replies += [first, *[(status, {}, b"busy")] * http.ATTEMPTS]
        tasks = line("a") + "{}\n" + line("b") + line("c")
        result = rr("rerank", "--model", f"tei:{server.url}", input=tasks)

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: stopped at line 3, with 1 done and 1 left out: tei:http")
    assert message in last


def test_what_a_service_leaves_uncertain_is_said_once(
    rr: Rr, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(documented) as server:
        monkeypatch.setenv("JINA_API_URL", server.url)
        tasks = 2 * line(*(f"text {n}" for n in range(1001)))
        result = rr("rerank", "--model", "jina:m", "--top-k", "1", input=tasks)

    assert result.exit_code == 0
    first, all_of_them = result.stderr.splitlines()
    said = "the documents went to jina:m in 2 requests"
    assert first.startswith(f"Note: line 1: {said}")
    assert all_of_them.startswith(f"Note: the same of 2 lines: {said}")


@pytest.mark.usefixtures("lexical")
def test_what_a_language_model_is_asked_is_said_on_the_command_line(
    rr: Rr, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "own.toml").write_text('messages = ["{query}? {document}!"]\nyes = "yes"\nno = " no"\n')
    model = ["--model", "openai:m", "--prompt"]
    search = ["search", QUERY, "--json", "--rerank", "llm-yes-no", *model]
    rerank = ["rerank", "--reranker", "llm-yes-no", *model]
    with serve(chat_documented) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        found = rr(*search, "own.toml")
        lists = rr(*rerank, "own.toml", input=line("wings lift"))
        asked = [request[2]["prompt"] for request in server.requests]
        unknown, missing = rr(*search, "qwen4"), rr(*rerank[:-1], input=line("a"))
        gone = rr(*rerank, "gone.toml", input=line("a"))
    assert (found.exit_code, lists.exit_code) == (0, 0), found.stderr + lists.stderr
    assert [stage["name"] for stage in json.loads(found.stdout)["stages"]][1:] == ["llm-yes-no"]
    assert len(asked) == len(json.loads(found.stdout)["hits"]) + 1
    assert all(prompt.startswith(f"{QUERY}? ") and prompt.endswith("!") for prompt in asked[:-1])
    assert asked[-1].endswith("? wings lift!")
    for result, message in (
        (unknown, "unknown prompt 'qwen4'; known: qwen3-reranker"),
        (missing, "no prompt is known for openai:m; name one of qwen3-reranker"),
        (gone, "gone.toml"),
    ):
        assert (result.exit_code, result.stdout) == (1, "")
        assert message in " ".join(result.stderr.split())


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize("end", ["deadline", "Ctrl-C"])
def test_a_language_model_that_hangs_does_not_keep_the_process(
    home: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (home / "rr.toml").write_text(
        '[[stages]]\nreranker = "llm-listwise"\nmodel = "openai:m"\nprompt = "rank-zephyr"\n'
    )
    asked, released = threading.Event(), threading.Event()

    def hang(path: str, body: Any) -> Reply:
        asked.set()
        released.wait(120)
        return ok({})

    with serve(hang) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        deadline = ["--deadline", "2"] if end == "deadline" else []
        with subprocess.Popen(
            [*RR, "search", QUERY, "--json", *deadline], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                if end == "Ctrl-C":
                    assert asked.wait(60)
                    process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=45)  # the server would be left after 60 s
            finally:
                process.kill()
                released.set()
    assert process.returncode == (130 if end == "Ctrl-C" else 0)
    assert bool(output) is (end == "deadline")
