from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from retrieve_rerank.cli.installation import missing_packages
from tests.cli.conftest import Rr


@pytest.mark.usefixtures("lexical")
def test_json_tells_what_is_installed_and_what_the_only_index_holds(rr: Rr, tmp_path: Path) -> None:
    facts = json.loads(rr("info", "--json").stdout)
    assert facts["versions"]["retrieve-rerank"] == version("retrieve-rerank")
    assert facts["extras"].keys() >= {"eval", "torch", "export", "all"}
    assert facts["data_dir"] == str(tmp_path / "home" / "retrieve-rerank")
    assert facts["devices"][0].startswith("cpu: ")
    assert facts["config_file"] is None
    assert facts["indexes"] == ["docs"]
    assert facts["index"]["documents"] == 4
    assert facts["index"]["encoder"] is None
    assert facts["index"]["fields"] == {"title": "string", "year": "integer"}


@pytest.mark.usefixtures("lexical")
def test_people_see_it_as_a_table(rr: Rr) -> None:
    rows = dict(line.split(maxsplit=1) for line in rr("info").stdout.splitlines() if line.strip())
    assert rows["indexes"] == "docs"
    assert rows["documents"] == "4"
    assert rows["encoder"] == "none"


def test_without_an_index_it_says_how_to_make_one(rr: Rr) -> None:
    result = rr("info")
    assert result.exit_code == 0
    assert "none; make one: rr index SOURCE --index NAME" in result.stdout


def test_an_unknown_index_is_an_error(rr: Rr) -> None:
    result = rr("info", "--index", "gone")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no index gone; known: none" in result.stderr


@pytest.mark.usefixtures("lexical")
def test_of_several_indexes_it_lists_the_names(rr: Rr, corpus: Path) -> None:
    rr("index", str(corpus), "--index", "more", "--encoder", "none")
    facts = json.loads(rr("info", "--json").stdout)
    assert (facts["indexes"], facts["index"]) == (["docs", "more"], None)


@pytest.mark.parametrize(
    ("extra", "missing"),
    [("here", set()), ("gone", {"no-such-package"}), ("all", {"no-such-package"})],
)
def test_an_extra_is_missing_with_any_of_its_packages(extra: str, missing: set[str]) -> None:
    requirements = [
        "click>=8",
        'click>=8; extra == "here"',
        'no-such-package>=1; extra == "gone"',
        'retrieve-rerank[gone,here]; extra == "all"',
    ]
    assert missing_packages(extra, requirements) == missing
