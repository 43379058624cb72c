"""What is printed at a real terminal fits it, and a pipe gets whole lines."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Rr
from tests.commands import RR

ANSWER = (
    "退款政策规定客户可以在收到商品后的三十天之内申请全额退款但是必须保留原始包装答案是四十二天"
)


def at_terminal(columns: int, *arguments: str) -> str:
    """Run `rr` at a terminal of so many columns; return all that it prints, in words alone."""
    reader, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    subprocess.run([*RR, *arguments], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    printed = b""
    while True:
        try:
            read = os.read(reader, 10_000)
        except OSError:  # all is read
            break
        printed += read
    os.close(reader)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80])
def test_errors_and_notes_break_at_words(home: Path, columns: int) -> None:
    printed = at_terminal(columns, "info", "--index", "nowhere")
    assert printed.startswith("Error: no index nowhere; known: none.")
    assert all(len(line) <= columns for line in printed.splitlines())
    assert "Make it: rr index SOURCE --index nowhere" in " ".join(printed.split())
    wrong = at_terminal(columns, "index", "--recreate", "nothing.jsonl")
    assert all(len(line) <= columns for line in wrong.splitlines())


@pytest.mark.parametrize("columns", [40, 80])
def test_the_answer_in_a_text_without_spaces_is_seen(rr: Rr, home: Path, columns: int) -> None:
    (home / "faq.tsv").write_text(f"id\ttext\n1\t{ANSWER}\n")
    assert rr("index", "faq.tsv", "--index", "faq", "--encoder", "none").exit_code == 0
    printed = at_terminal(columns, "search", "退款", "--index", "faq")
    assert ANSWER in re.sub(r"\s", "", printed)


@pytest.mark.usefixtures("lexical")
def test_info_tells_of_the_index_first_and_within_the_width(rr: Rr) -> None:
    printed = at_terminal(80, "info", "--index", "docs")
    lines = printed.splitlines()
    assert lines[0].startswith("location ")
    assert printed.index("\nfield year ") < printed.index("\nversions ")
    assert all(len(line) <= 80 for line in lines if "/" not in line)  # paths stay whole
    [versions] = [
        line for line in rr("info", "--index", "docs").stdout.splitlines() if "versions" in line
    ]
    assert "transformers" in versions  # a pipe gets all of it in one line
