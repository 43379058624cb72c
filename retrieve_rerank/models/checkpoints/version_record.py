"""What a version of a model says of itself, in a small file of its folder: how it was measured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints import folder_schema as schema
from retrieve_rerank.models.checkpoints.folder_schema import checked, read_settings

RECORD_FILE = "version.json"
"""What a version's folder says of how it was measured."""

PROVENANCE_FILE = "provenance.json"
"""What it says of what it was made from."""

UNSCORED = (RECORD_FILE, PROVENANCE_FILE)
"""Files on which no score depends."""

_SERVING: schema.Schema = {
    "index": schema.TEXT,
    "segment": schema.TEXT,
    "replaces": schema.TEXT,
    "kept": schema.whole(0, 1000),
    "depth": schema.whole(1, 1 << 31),
    "weight": schema.Kind(
        "a number from 0 to 1", lambda value: schema.NUMBER.holds(value) and 0 <= value <= 1
    ),
}
_RECORD: schema.Schema = {
    "created": schema.TEXT,
    "verdict": schema.TEXT,
    **dict.fromkeys(("gain", "low", "high"), schema.NUMBER),
    "serving": schema.OBJECT,
}


@dataclass(frozen=True, slots=True)
class Serving:
    """The place in a pipeline at which a version was measured, and which it takes when promoted."""

    index: str
    """Address of the index, free of secrets."""
    replaces: str = ""
    """Digest of the stages that were set when it was measured; empty where none were."""
    kept: int = 0
    """How many of those stages stay before it."""
    depth: int | None = None
    weight: float | None = None
    segment: str = ""
    """Of whose searches it is for; empty where it is for all."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a version."""

    created: str = ""
    """Date and time, ISO 8601."""
    verdict: str = ""
    """Of the held-out queries, in words."""
    gain: float | None = None
    """Mean difference from the pipeline that it was compared with, on its primary measure."""
    low: float | None = None
    """The gain's 95 % confidence interval."""
    high: float | None = None
    serving: Serving | None = None
    """None for a model that was measured on no index: it is found by its name alone."""


def read_record(folder: Path) -> Record:
    """Read what a version's folder says of itself; empty where it says nothing."""
    file = folder / RECORD_FILE
    found = read_settings(file, _RECORD)
    known = {name: found[name] for name in _RECORD if found.get(name) is not None}
    return Record(**{**known, "serving": read_serving(known.get("serving"), where=str(file))})


def write_record(folder: Path, record: Record) -> None:
    """Put into a model's folder what `read_record` reads; raise ModelError."""
    write_json(folder / RECORD_FILE, asdict(record))


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a small file at once and for good, or not at all; raise ModelError where not."""
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with half.open("w", encoding="utf-8") as written:
            json.dump(content, written, indent=2, ensure_ascii=False)
            written.write("\n")
            written.flush()
            os.fsync(written.fileno())
        half.replace(file)
        flush(file.parent)
    except OSError as exc:
        half.unlink(missing_ok=True)
        raise ModelError(f"cannot write {file}: {exc.strerror or exc}") from exc


def now() -> str:
    """Return the time that it is, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def read_serving(found: Any, *, where: str) -> Serving | None:
    """Read a `Serving` from JSON found in the file `where`; raise ModelError."""
    if found is None:
        return None
    known = checked(found, _SERVING, where=f"{where}: serving")
    if not known.get("index"):
        raise ModelError(f"{where} says what is served without an index")
    return Serving(**{name: known[name] for name in _SERVING if known.get(name) is not None})


def flush(path: Path) -> None:
    """Have the system write a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
