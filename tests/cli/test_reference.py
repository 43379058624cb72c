from __future__ import annotations

import tomllib
from pathlib import Path

from retrieve_rerank.cli.reference import EXAMPLE, reference
from retrieve_rerank.settings.sources import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_reference_in_the_docs_is_current() -> None:
    command = "python -m retrieve_rerank.cli.reference > docs/cli.md"
    assert (DOCS / "cli.md").read_text() == reference(), f"write it anew: {command}"


def test_the_example_configuration_is_valid() -> None:
    Settings.model_validate(tomllib.loads(EXAMPLE))
