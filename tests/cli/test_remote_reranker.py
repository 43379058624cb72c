"""Reranking services on the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Rr
from tests.models.embedding_server import serve
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


def test_lists_are_reranked_by_a_service(rr: Rr) -> None:
    with serve(documented) as server:
        task = json.dumps({"query": "q", "documents": ["a", "b"]})
        result = rr("rerank", "--model", f"tei:{server.url}", input=task)

    [first, second] = json.loads(result.stdout)["documents"]
    assert {first["text"]: first["score"], second["text"]: second["score"]} == {
        "a": score("q", "a"),
        "b": score("q", "b"),
    }
    assert first["score"] > second["score"]
