"""`rr tensors` as its user meets it."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Rr


@pytest.mark.usefixtures("dense")
@pytest.mark.parametrize("what", ["add", "status", "drop"])
def test_an_embedded_index_has_tensors_of_its_own(rr: Rr, what: str) -> None:
    result = rr("tensors", what, "--index", "docs")
    assert result.exit_code == 1
    assert "an embedded index makes its token tensors itself" in result.stderr


def test_an_empty_index_has_no_tensors(rr: Rr) -> None:
    result = rr("tensors", "status", "--index", "memory://", "--json")
    assert json.loads(result.stdout) == {
        "index": "memory",
        "settings": None,
        **{"documents": 0, "present": 0, "missing": 0, "stale": 0, "orphaned": 0},
    }
    assert rr("tensors", "drop", "--index", "memory://").stdout == "There are no token tensors.\n"


@pytest.mark.parametrize(
    "wrong", [("--pool", "0"), ("--rate", "0"), ("--dtype", "float64"), ("--modell", "x")]
)
def test_wrong_usage_is_exit_code_2(rr: Rr, wrong: tuple[str, str]) -> None:
    result = rr("tensors", "add", "--index", "memory://", *wrong)
    assert result.exit_code == 2
    assert wrong[0] in result.stderr
