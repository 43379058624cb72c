from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.models.loading import load_encoder

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_first_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[0], {})
    ranks = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert [rank for rank, _, _ in ranks] == ["1", "2", "3"]
    assert sorted(was for _, _, was in ranks) == ["1", "2", "3"]


def test_the_example_for_langchain_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedConnector.create(home / "handbook", encoder=load_encoder()) as index:
        index.index([Document("a", "Refunds are paid in a week."), Document("b", "Monday")])
    made: dict[str, Any] = {}
    exec(blocks("python")[2], made)
    assert capsys.readouterr().out.splitlines()[0].endswith("Refunds are paid in a week.")
    made["retriever"].close()


def test_every_link_leads_to_a_file() -> None:
    root = Path(__file__).resolve().parents[1]
    files = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert files
    assert [link for link in files if not (root / link).is_file()] == []
