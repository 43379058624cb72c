from __future__ import annotations

import json
import os
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from retrieve_rerank.cli.installation import missing_packages
from tests.cli.conftest import Rr
from tests.commands import RR


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


@pytest.mark.usefixtures("lexical")
def test_an_index_is_verified_and_damage_is_told_with_its_cure(rr: Rr, tmp_path: Path) -> None:
    result = rr("info", "--verify")
    assert result.exit_code == 0
    assert "4 documents verified: nothing is missing or other than it was" in result.stderr
    shard = tmp_path / "home" / "retrieve-rerank" / "indexes" / "docs" / "shard"
    file = max(shard.glob("segments/*/payload_storage/*.dat"), key=lambda it: it.stat().st_size)
    dates, content = file.stat(), bytearray(file.read_bytes())
    content[next(place for place, byte in enumerate(content) if byte)] ^= 0x55
    file.write_bytes(content)
    os.utime(file, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # opening would not notice
    result = rr("info", "--verify", "--index", "docs")
    assert (result.exit_code, result.stdout) == (1, "")
    said = " ".join(result.stderr.split())
    assert f"{file.relative_to(shard)} has other contents than were written" in said
    assert "the index at docs is damaged" in said
    assert "rr index SOURCE --index docs --recreate" in said


@pytest.mark.usefixtures("lexical")
def test_writing_that_was_killed_is_told_with_what_goes_on_from_there(rr: Rr) -> None:
    command = [*RR, "index", "-", "--index", "docs", "--encoder", "none"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f'{{"id": {n}, "text": "n{n}"}}\n' for n in range(2000)))
        process.stdin.flush()
        manifest = Path(os.environ["XDG_DATA_HOME"]) / "retrieve-rerank/indexes/docs/manifest.json"
        while not json.loads(manifest.read_text()).get("writing"):
            time.sleep(0.02)
        process.kill()
    facts = json.loads(rr("info", "--json").stdout)["index"]
    assert facts["documents"] >= 4
    assert any(
        f"writing to it was interrupted: it holds {facts['documents']:,} documents, and held 4"
        in note
        for note in facts["notes"]
    )


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
