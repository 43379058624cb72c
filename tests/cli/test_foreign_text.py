"""What documents, servers and file names say is shown, and never obeyed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import printable
from tests.cli.conftest import Rr
from tests.models.embedding_server import Reply, serve

CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
EVIL = "[/INST] [bold]no[/bold] :smile: \x1b]0;owned\x07 \x9b2J \x1b[31mred\x00"


@pytest.mark.usefixtures("lexical")
@pytest.mark.parametrize("explain", [[], ["--explain"], ["--json"]])
def test_a_services_error_is_neither_markup_nor_a_command(rr: Rr, explain: list[str]) -> None:
    def refuse(path: str, body: Any) -> Reply:
        return 400, {}, json.dumps({"error": EVIL}).encode()

    with serve(refuse) as server:
        result = rr("search", "wing", "--model", f"tei:{server.url}", *explain)
    assert result.exit_code == 0, result.output
    assert not CONTROLS.search(result.output)
    assert "[/INST] [bold]no[/bold] :smile:" in " ".join(result.output.split())


@pytest.mark.usefixtures("lexical")
def test_names_of_files_indexes_and_options_are_no_commands(rr: Rr, home: Path) -> None:
    evil = "\x1b[2J[b].jsonl"
    (home / evil).write_text("{")
    for command in (
        ("index", evil, "--index", "docs"),
        ("search", "wing", "--index", "\x1b[2J"),
        ("search", "wing", "--filter", "\x1b[2J"),
        ("rerank", "\x1b]0;owned\x07"),
        ("models", "info", "\x1b[2J"),
        ("eval", "--queries", evil, "--qrels", evil),
    ):
        result = rr(*command)
        assert result.exit_code, command
        assert not CONTROLS.search(result.output), command


def test_metadata_of_an_index_is_no_command(rr: Rr, home: Path) -> None:
    (home / "evil.jsonl").write_text(
        json.dumps({"_id": EVIL, "title": EVIL, "text": f"wing {EVIL}", EVIL: EVIL})
    )
    assert rr("index", "evil.jsonl", "--index", "docs", "--encoder", "none").exit_code == 0
    for command in (("search", "wing", "--explain"), ("search", "wing", "--json"), ("info",)):
        result = rr(*command)
        assert result.exit_code == 0, result.output
        assert not CONTROLS.search(result.output), command
    assert json.loads(rr("search", "wing", "--json").stdout)["hits"][0]["id"] == EVIL


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_standard_output_cannot_show_ends_no_command(
    rr: Rr, home: Path, encoding: str
) -> None:
    (home / "wing.jsonl").write_text(json.dumps({"_id": "1", "text": "wing 翼 → 💥"}))
    assert rr("index", "wing.jsonl", "--index", "docs", "--encoder", "none").exit_code == 0

    def said(*options: str) -> str:
        command = [sys.executable, "-c", "from retrieve_rerank.cli import run; run()", "search"]
        done = subprocess.run(
            [*command, "wing", *options],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            stdout=subprocess.PIPE,
            check=True,
        )
        return done.stdout.decode(encoding)

    assert ("翼" if encoding == "utf-8" else "wing ?") in said()
    assert json.loads(said("--json"))["hits"][0]["text"] == "wing 翼 → 💥"


def test_controls_are_shown_as_pictures() -> None:
    assert printable("a\x1b[31m\tb\x7f\x9bc\nd") == "a␛[31m b␡\ufffdc d"
    assert printable("a\nb\r", lines=True) == "a\nb "


def test_json_has_null_for_what_it_cannot_write(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": [float("nan"), (1.5, float("-inf"))], "b": {"c": float("inf")}, "d": "\x9b"})
    line = capsys.readouterr().out

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(line, parse_constant=refuse)
    assert read == {"a": [None, [1.5, None]], "b": {"c": None}, "d": "\x9b"}
    assert not CONTROLS.search(line)
