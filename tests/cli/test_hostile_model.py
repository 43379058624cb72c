"""A model's folder that cannot be used is the same clear error at every command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from retrieve_rerank.models.checkpoints.resolving import resolve
from tests.cli.conftest import Rr


def test_a_pipe_in_place_of_settings_hangs_no_command(rr: Rr, home: Path, corpus: Path) -> None:
    shutil.copytree(resolve("all-MiniLM-L6-v2"), home / "model")
    assert rr("index", str(corpus), "--index", "docs", "--encoder", "./model").exit_code == 0
    (home / "model" / "config.json").unlink()
    os.mkfifo(home / "model" / "config.json")
    task = '{"query": "a", "documents": ["b"]}\n'
    for arguments in (
        ["search", "wing", "--index", "docs"],
        ["search", "wing", "--index", "docs", "--rerank", "cross-encoder", "--model", "./model"],
        ["index", str(corpus), "--index", "more", "--encoder", "./model"],
        ["rerank", "--model", "./model"],
        ["rerank", "--reranker", "llm-yes-no", "--prompt", "monot5", "--model", "./model"],
        ["models", "info", "./model"],
    ):
        result = rr(*arguments, input=task)
        assert (result.exit_code, result.stdout) == (1, ""), arguments
        said = "".join(result.stderr.split())
        assert "model/config.jsonisanamedpipe;expectedaregularfile" in said, arguments
