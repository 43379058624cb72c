"""What a trained model was made from: index, data, settings, versions, looks at the test."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.models.checkpoints.version_record import PROVENANCE_FILE, write_json

_PACKAGES = ("retrieve-rerank", "torch", "transformers", "sentence-transformers", "openvino")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Enough to make the model again, and to see whether something has changed since."""

    base: str
    """The model that training started from."""
    index: str
    """Address of the index, free of secrets."""
    index_fingerprint: str
    """See `index_fingerprint`."""
    data: Mapping[str, str] = field(default_factory=dict)
    """What was read -> its SHA-256: queries and judgments of each split, groups."""
    queries: Mapping[str, int] = field(default_factory=dict)
    """Split -> how many queries it has."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of mining and training, as plain JSON values; free of secrets."""
    looks_at_test: int = 1
    """How often the test queries were looked at, this time included: a gain that is the best of
    many looks is partly luck."""
    versions: Mapping[str, str] = field(default_factory=lambda: package_versions())

    def write(self, folder: Path) -> None:
        """Put it into a model's folder; raise ModelError where that fails."""
        write_json(folder / PROVENANCE_FILE, asdict(self))


def index_fingerprint(schema: IndexSchema) -> str:
    """Hash what an index holds: backend, encoder, rankings, fields, and how many documents."""
    facts = [
        schema.connector,
        schema.encoder,
        schema.dimension,
        sorted(schema.rankings),
        schema.documents,
        dict(schema.fields),
    ]
    return data_hash(facts)[:16]


def data_hash(content: object) -> str:
    """Return the SHA-256 of plain JSON values, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of what training and serving depend on, where installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
