"""A password in a model's URL, which no command may show."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Rr

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


def test_a_service_has_nothing_to_inspect(rr: Rr) -> None:
    result = rr("models", "info", "cohere:rerank-v3.5")
    assert result.exit_code == 1
    assert "cohere:… is run by a service: nothing to load or inspect is here" in result.stderr
