"""The files of a shard: recorded when it was closed, compared before the engine opens it.

The engine repairs what it opens: it deletes a segment that lacks a file, and forgets documents
that a shortened table does not name. So a loss must be noticed before. Its log is left out: all
that is in it has been flushed when a shard is closed, and the engine checks it itself.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_BLOCK_BYTES = 1 << 16
_ZEROS = bytes(_BLOCK_BYTES)
_SEGMENT_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_APPENDABLE = "mutable_id_tracker.mappings"
"""In a segment that documents are still added to; in the others this is not "mutable"."""


_COMES_AND_GOES = re.compile(r"/payload_index/|/flags_.\.dat$")
"""Files that the engine may remove as it writes: indexes over fields, and lists that have grown."""


class FileState(NamedTuple):
    """A file as it was."""

    size: int
    modified_ns: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a shard consisted of when it was closed."""

    documents: int
    files: Mapping[str, FileState]
    """Path below the shard -> its state."""


class Comparison(NamedTuple):
    """An inventory against what is there."""

    damage: list[str]
    """What is missing or differs, a few words each; empty where the shard is whole."""
    now: Inventory
    """The inventory with today's dates of files that are as they were."""
    bytes_read: int


def take(shard: Path, documents: int, *, known: Inventory | None) -> Inventory:
    """Record a closed shard; checksums of full segments' files are taken over from `known`."""
    files = {}
    for name, path in _files(shard):
        stat, old = path.stat(), known.files.get(name) if known else None
        same = old is not None and old[:2] == (stat.st_size, stat.st_mtime_ns)
        if old is not None and same and not _grows(path, shard):
            files[name] = old
        else:
            files[name] = FileState(stat.st_size, stat.st_mtime_ns, checksum(path)[0])
    return Inventory(documents, files)


def compare(shard: Path, inventory: Inventory, *, thoroughly: bool = False) -> Comparison:
    """Compare a closed shard with its inventory.

    Sizes always, contents where the date of a file has changed, or of all files: `thoroughly`.
    """
    there = dict(_files(shard))
    damage = [f"{name} is missing" for name in inventory.files.keys() - there.keys()]
    segments = {Path(name).parts[1] for name in inventory.files if name.startswith("segments/")}
    damage += {
        f"{Path(*Path(name).parts[:2])} does not belong to it"
        for name in there.keys() - inventory.files.keys()
        if name.startswith("segments/") and Path(name).parts[1] not in segments
    }
    files, bytes_read = dict(inventory.files), 0
    for name in inventory.files.keys() & there.keys():
        old, stat = inventory.files[name], there[name].stat()
        if stat.st_size != old.size and not name.endswith(".json"):
            damage.append(f"{name} has {stat.st_size:,} bytes where {old.size:,} were written")
        elif thoroughly or old[:2] != (stat.st_size, stat.st_mtime_ns):
            now, read = checksum(there[name])
            bytes_read += read
            files[name] = FileState(stat.st_size, stat.st_mtime_ns, now)
            if now != old.checksum:
                damage.append(f"{name} has other contents than were written")
    return Comparison(sorted(damage), Inventory(inventory.documents, files), bytes_read)


def missing(shard: Path, inventory: Inventory | None) -> list[str]:
    """Say what is missing of a shard that may have been written to since its inventory was taken.

    Nothing that a process killed at any moment may have left is taken for damage.
    """
    there = dict(_files(shard))
    gone = inventory.files.keys() - there.keys() if inventory else set()
    names = sorted(name for name in gone if not _COMES_AND_GOES.search(name))
    if not any((shard / "wal").glob("open-*")):
        names.append("wal")
    segments = {path.parts[1] for path in map(Path, there) if path.parts[0] == "segments"}
    if not segments:
        names.append("segments")
    for segment in sorted(segments):
        needed = _needed_in(shard / "segments" / segment)
        names += [f"segments/{segment}/{name}" for name in needed]
    return [f"{name} is missing" for name in dict.fromkeys(names)]


def _needed_in(segment: Path) -> Iterator[str]:
    """Name the files that a segment lacks although it has been flushed."""
    try:
        flushed = json.loads((segment / "segment.json").read_bytes()).get("version") is not None
    except (OSError, ValueError, AttributeError):
        return  # one that was not complete yet; for a broken one the engine has words
    kinds = [
        kind for kind in ("mutable_id_tracker", "id_tracker") if any(segment.glob(f"{kind}.*"))
    ]
    for kind in kinds or ["mutable_id_tracker"] * flushed:
        yield from (
            name
            for name in (f"{kind}.mappings", f"{kind}.versions")
            if flushed and not (segment / name).exists()
        )
    # Written last to a segment that was optimized, first to one that documents are added to.
    if "mutable_id_tracker" in kinds and not (segment / "version.info").exists():
        yield "version.info"


def checksum(path: Path) -> tuple[int, int]:
    """Sum up a file's contents, however its holes are stored; return the bytes read too.

    The engine writes the keys of JSON in another order every time, which makes no difference.
    """
    if path.suffix == ".json":
        content = path.read_bytes()
        with suppress(ValueError, RecursionError):  # a broken one has a sum too, and another
            content = json.dumps(json.loads(content), sort_keys=True).encode()
        return zlib.crc32(content), len(content)
    total = read = 0
    with path.open("rb", buffering=0) as file:
        for start, block in _blocks(file.fileno()):
            read += len(block)
            if block != _ZEROS[: len(block)]:
                total = zlib.crc32(block, zlib.crc32(start.to_bytes(8, "little"), total))
    return total, read


def _blocks(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Read block by block, passing over holes: the engine's files are mostly that."""
    start, size = 0, os.fstat(descriptor).st_size
    while start < size:
        try:
            start = os.lseek(descriptor, start, os.SEEK_DATA) // _BLOCK_BYTES * _BLOCK_BYTES
        except OSError:  # only a hole is left
            return
        yield start, os.pread(descriptor, _BLOCK_BYTES, start)
        start += _BLOCK_BYTES


def _files(shard: Path) -> Iterator[tuple[str, Path]]:
    """Walk over the files that the engine made, other than its log."""
    for name in ("edge_config.json", "wal/first-index"):  # which says how far the log is done with
        if (shard / name).is_file():
            yield name, shard / name
    segments = shard / "segments"
    for segment in segments.iterdir() if segments.is_dir() else ():
        if _SEGMENT_NAME.fullmatch(segment.name):
            for folder, _, names in os.walk(segment):
                for path in (Path(folder, name) for name in names):
                    yield path.relative_to(shard).as_posix(), path


def _grows(path: Path, shard: Path) -> bool:
    below = path.relative_to(shard).parts
    return below[0] != "segments" or (shard / "segments" / below[1] / _APPENDABLE).exists()
