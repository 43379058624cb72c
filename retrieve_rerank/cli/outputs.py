"""What commands write, which is never what they read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from retrieve_rerank.data.lines import STDIN


def keep_inputs(out: Path | str, *inputs: Path | str | None) -> None:
    """Refuse to write to what is read, by whatever name: what is left out of it would be lost."""
    if str(out) == STDIN or not Path(out).exists():
        return
    named = [Path(given) for given in inputs if given is not None and str(given) != STDIN]
    if any(Path(out).samefile(file) for given in named for file in _files(given)):
        raise click.UsageError(f"{out} is what is read; name another file to write to")


def _files(given: Path) -> Iterator[Path]:
    """Yield what is read of a file or a folder, such as BEIR's."""
    if not given.is_dir():
        return iter([given] if given.exists() else [])
    of_beir = (given.glob(pattern) for pattern in ("corpus.jsonl*", "queries.jsonl*", "qrels/*"))
    found = [file for files in of_beir for file in files]
    return iter(found) if found else (file for file in given.rglob("*") if file.is_file())
