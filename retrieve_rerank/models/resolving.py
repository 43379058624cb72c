"""Names of models to folders on this machine.

Knows nothing of what is in a folder.
"""

from __future__ import annotations

from pathlib import Path

from retrieve_rerank.errors import ModelNotFoundError

BUNDLED = Path(__file__).parent / "bundled"


def resolve(name: str) -> Path:
    """Return the folder of the model called `name`; raise ModelNotFoundError if there is none."""
    if (BUNDLED / name).is_dir():
        return BUNDLED / name
    if Path(name).is_dir():
        return Path(name)
    raise ModelNotFoundError(f"no model {name!r}")
