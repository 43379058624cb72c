"""Where an embedded index is, and whether it may be made there.

Knows nothing of what is in its files.
"""

from __future__ import annotations

from pathlib import Path

from retrieve_rerank.connectors.embedded.lock import LOCK
from retrieve_rerank.connectors.embedded.settings import MANIFEST
from retrieve_rerank.connectors.embedded.shard import SHARD
from retrieve_rerank.errors import IndexExistsError

SCHEME = "embedded://"


def folder_of(path: str | Path) -> Path:
    """Return the folder that a path or a URL names."""
    return Path(str(path).removeprefix(SCHEME)).absolute()


def refuse_to_overwrite(folder: Path) -> None:
    """Raise IndexExistsError unless the folder is empty or holds an interrupted creation."""
    if (folder / MANIFEST).exists():
        raise IndexExistsError(
            f"there is an index at {folder} already; index into it, or delete the folder first"
        )
    others = {entry.name for entry in folder.iterdir()} - {SHARD, LOCK, f"{MANIFEST}.new"}
    if others:
        raise IndexExistsError(
            f"{folder} holds other files ({', '.join(sorted(others)[:3])}); "
            "choose a new or an empty folder"
        )
