from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_first_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[0], {})
    ranks = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert [rank for rank, _, _ in ranks] == ["1", "2", "3"]
    assert sorted(was for _, _, was in ranks) == ["1", "2", "3"]


def test_every_link_leads_to_a_file() -> None:
    root = Path(__file__).resolve().parents[1]
    files = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert files
    assert [link for link in files if not (root / link).is_file()] == []
