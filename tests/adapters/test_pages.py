"""Every block of Python in the adapters' pages runs, in one session for each page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.models.loading import load_encoder

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
REFUNDS = [
    Document("week", "A refund is paid within a week.", {"year": 2019}),
    Document("how", "To get a refund, send the ticket back.", {"year": 2021}),
    Document("desk", "The refund desk is closed on Mondays.", {"year": 2024}),
]


@pytest.mark.parametrize(
    ("page", "package", "shown"),
    [
        (
            "llama-index.md",
            "llama_index.core",
            [
                "1 To get a refund",  # of the end of a line: rank and text
                "Refunds are paid in a week. 2",
                "To get a refund, send the ticket back.",
                "2",
                "2",
                "[('first-stage', ",
            ],
        ),
        (
            "haystack.md",
            "haystack",
            [
                "1 To get a refund",
                "A refund takes a week.",
                "2",
                "A refund is paid within a week.",
                "{'type': 'env_var', 'env_vars': ['SEARCH_PASSWORD']",
            ],
        ),
    ],
)
def test_every_block_runs(
    page: str, package: str, shown: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(package, reason="needs the extra of its name")
    with EmbeddedConnector.create(home / "refunds", encoder=load_encoder()) as connector:
        connector.index(REFUNDS)
    (home / "rr.toml").write_text('[indexes.docs]\nurl = "./refunds"\n')
    made: dict[str, object] = {"__name__": "page"}
    printed = []
    for block in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        exec(block, made)
        if lines := capsys.readouterr().out.splitlines():
            printed.append(lines[0])
    made["retriever"].close()  # type: ignore[attr-defined]
    assert len(printed) == len(shown)
    for line, expected in zip(printed, shown, strict=True):
        assert expected in line
