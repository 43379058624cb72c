"""An empty home, and a small index in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retrieve_rerank.cli import main

Rr = Callable[..., Result]

DOCUMENTS = [
    {"_id": "lift", "title": "Lift", "text": "The lift of a thin wing.", "year": 1950},
    {"_id": "drag", "title": "Drag", "text": "Drag polars of slender wings.", "year": 1960},
    {"_id": "heat", "title": "Heat", "text": "Heat transfer in a pipe.", "year": 1960},
    {
        "_id": "both",
        "title": "",
        "text": "Lift and drag of wings\u001b[31m in a tunnel.",
        "year": 1970,
    },
]


@pytest.fixture
def rr(home: Path) -> Rr:
    """Run a command line in this process; what is no error of ours fails the test."""

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(
            main, arguments, input=input, prog_name="rr", catch_exceptions=False
        )

    return run


@pytest.fixture
def corpus(home: Path) -> Path:
    """A file of four documents."""
    path = home / "corpus.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return path


@pytest.fixture
def lexical(rr: Rr, corpus: Path) -> None:
    """An index `docs`, for search by words alone."""
    assert rr("index", str(corpus), "--index", "docs", "--encoder", "none").exit_code == 0


@pytest.fixture
def dense(rr: Rr, corpus: Path) -> None:
    """An index `docs`, with the bundled encoder."""
    assert rr("index", str(corpus), "--index", "docs").exit_code == 0
