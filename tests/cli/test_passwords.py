"""Passwords and keys of services, which no command may show, or send to another service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Rr
from tests.models.embedding_server import serve
from tests.rerankers.rerank_server import documented

PASSWORD = "PASSWORDX"
SERVICE = f"tei:http://u:{PASSWORD}@127.0.0.1:9"
MISSPELT = f"teii:http://u:{PASSWORD}@127.0.0.1:9"


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize("model", [SERVICE, MISSPELT])
@pytest.mark.parametrize(
    "command",
    [
        ("search", "wing", "--rerank", "cross-encoder", "--model"),
        ("search", "wing", "--rerank", "max-sim", "--model"),
        ("models", "info"),
        ("models", "export", "--force"),
        ("calibrate", "--index", "docs", "--model"),
        ("rerank", "--reranker", "cross-encoder", "--model"),
        ("index", "corpus.jsonl", "--index", "new", "--encoder"),
        ("index", "corpus.jsonl", "--index", "new", "--sparse-encoder"),
    ],
)
def test_no_message_shows_the_password_of_a_models_url(
    rr: Rr, command: tuple[str, ...], model: str
) -> None:
    out = ["out"] if "export" in command else []
    result = rr(*command, model, *out)
    assert result.exit_code, result.output
    assert PASSWORD not in result.output
    assert result.stderr.startswith(("Error: ", "Usage: "))


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize("reranker", ["llm-yes-no", "llm-listwise"])
def test_no_message_shows_the_password_of_a_url_in_place_of_a_model(rr: Rr, reranker: str) -> None:
    model = f"openai:http://u:{PASSWORD}/@127.0.0.1:9/v1"
    result = rr("search", "wing", "--rerank", reranker, "--model", model)
    assert result.exit_code == 1
    assert PASSWORD not in result.output
    assert "openai:http://***@127.0.0.1:9/v1" in result.stderr


@pytest.mark.parametrize(
    "index",
    [
        f"elasticsearch://u:{PASSWORD}/x@127.0.0.1:9/docs",
        f"elasticsearch://u:{PASSWORD}?x@127.0.0.1:9/docs",
        f"qdrant://{PASSWORD}#x@127.0.0.1:9/docs",
        f"elasticsearch:/u:{PASSWORD}@127.0.0.1:9/docs",
        f"elasticsearch://u:[{PASSWORD}@127.0.0.1:9/docs",
        f"qdrant://127.0.0.1:9/docs?api_key={PASSWORD}",
        f"elasticsearch://u:{PASSWORD}/docs",
        f"elastic://u:{PASSWORD}@127.0.0.1:9/docs",
    ],
)
def test_no_message_shows_the_password_of_an_indexs_url(rr: Rr, index: str) -> None:
    result = rr("search", "wing", "--index", index)
    assert result.exit_code, result.output
    assert PASSWORD not in result.output
    assert result.stderr.startswith(("Error: ", "Usage: "))


@pytest.mark.usefixtures("lexical")
def test_the_key_of_one_service_is_not_sent_to_another(rr: Rr, home: Path) -> None:
    with serve(documented) as own, serve(documented) as other:
        (home / "rr.toml").write_text(
            f'[[stages]]\nreranker = "remote"\nmodel = "tei:{own.url}"\nkey = "{PASSWORD}"'
        )
        assert rr("search", "wing", "--depth", "2").exit_code == 0
        assert rr("search", "wing", "--model", f"tei:{other.url}").exit_code == 0
    assert own.requests[0][1]["authorization"] == f"Bearer {PASSWORD}"
    assert "authorization" not in other.requests[0][1]


@pytest.mark.usefixtures("lexical")
def test_another_model_of_the_same_service_has_its_key(rr: Rr, home: Path) -> None:
    with serve(documented) as server:
        (home / "rr.toml").write_text(
            '[[stages]]\nreranker = "remote"\nmodel = "cohere:one"\n'
            f'url = "{server.url}"\nkey = "{PASSWORD}"'
        )
        assert rr("search", "wing", "--model", "cohere:two").exit_code == 0
    [(_, headers, body)] = server.requests
    assert (headers["authorization"], body["model"]) == (f"Bearer {PASSWORD}", "two")


def test_a_service_has_nothing_to_inspect(rr: Rr) -> None:
    result = rr("models", "info", "cohere:rerank-v3.5")
    assert result.exit_code == 1
    assert (
        "cohere:rerank-v3.5 is run by a service: nothing to load or inspect is here"
        in result.stderr
    )
