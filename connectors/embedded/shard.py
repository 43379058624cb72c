"""The engine's files: making and opening them, room on the disk, and its errors as ours.

The one place that knows what qdrant-edge-py says when something fails: bare Exceptions that differ
in their text only.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge

from retrieve_rerank.connectors.embedded.manifest import Manifest
from retrieve_rerank.connectors.hybrid import BM25, DENSE
from retrieve_rerank.errors import (
    ConnectorError,
    IndexCorruptError,
    IndexLockedError,
    IndexMismatchError,
    RetrieveRerankError,
    StorageFullError,
)

TOKENS = "tokens"

REPAIR = (
    "make it anew from its sources (rr index SOURCE --index {folder} --recreate), or restore the "
    "folder from a backup"
)
"""What to do about damaged files."""

RESERVE_BYTES = 256 << 20
"""Kept free on the disk. The engine maps its files into memory and grows them by touching pages:
on a full disk that is a SIGBUS, which ends the process without an error anyone could catch."""

_DAMAGE = ("load", "open", "read", "wal", "corrupt", "deserialize", "parse", "out of bounds")
_STORAGE = {
    "float32": edge.VectorStorageDatatype.Float32,
    "float16": edge.VectorStorageDatatype.Float16,
    "turbo8": edge.VectorStorageDatatype.Turbo8,
}
# Only ever searched within given candidates: a graph over tokens takes minutes for a thousand
# documents. With m=0 the engine ignores the other two.
_NO_GRAPH = edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000)


def create_shard(shard: Path, manifest: Manifest) -> edge.EdgeShard:
    """Make the files of an empty index."""
    with engine_errors(shard.parent):
        shard.mkdir()
        return edge.EdgeShard.create(str(shard), _config(manifest))


def open_shard(shard: Path) -> edge.EdgeShard:
    """Open the files of an index, replaying what a killed process had not flushed."""
    with engine_errors(shard.parent):
        return edge.EdgeShard.load(str(shard))


def require_space(folder: Path, needed: int = 0) -> None:
    """Raise StorageFullError unless `needed` bytes fit beside the reserve."""
    if not has_space(folder, needed):
        free = shutil.disk_usage(folder).free
        raise StorageFullError(
            f"{free >> 20} MiB are free at {folder}, {(needed + RESERVE_BYTES) >> 20} MiB are "
            "needed to go on; free some and run the same again: what is written stays, and is "
            "skipped then"
        )


def has_space(folder: Path, needed: int = 0) -> bool:
    """Tell whether `needed` bytes fit beside the reserve."""
    return shutil.disk_usage(folder).free >= needed + RESERVE_BYTES


def bytes_on_disk(folder: Path) -> int:
    """Sum what the files under `folder` occupy; the engine's are longer than they are full."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def translated(message: str, folder: Path) -> ConnectorError:
    """Turn the engine's text into the error that it means."""
    lower = message.lower()
    if "no space left" in lower or "os error 28" in lower:
        return StorageFullError(f"no space is left at {folder}: {message}")
    if "wouldblock" in lower:
        return IndexLockedError(f"another process has the index at {folder} open: {message}")
    if "vector dimension error" in lower or "not existing vector name" in lower:
        return IndexMismatchError(f"the vectors do not fit the index at {folder}: {message}")
    if any(sign in lower for sign in _DAMAGE):
        return IndexCorruptError(_corrupt(message, folder))
    return ConnectorError(f"the index at {folder} failed: {message}")


@contextmanager
def engine_errors(folder: Path) -> Iterator[None]:
    """Turn what the engine and the file system raise into our errors."""
    try:
        yield
    except RetrieveRerankError:
        raise
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"no space is left at {folder}") from exc
        raise ConnectorError(f"the index at {folder} cannot be used: {exc}") from exc
    except Exception as exc:
        if type(exc) is not Exception:  # the engine's own are bare; others are errors in our code
            raise
        raise translated(str(exc), folder) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":  # of Rust, which the package does not export
            raise
        raise IndexCorruptError(_corrupt(str(exc), folder)) from exc


def _corrupt(message: str, folder: Path) -> str:
    return (
        f"the files of the index at {folder} cannot be read ({message}); "
        f"{REPAIR.format(folder=folder)}"
    )


def _config(manifest: Manifest) -> edge.EdgeConfig:
    vectors = {}
    if manifest.encoder is not None:
        vectors[DENSE] = edge.EdgeVectorParams(manifest.encoder.dimension, edge.Distance.Cosine)
        vectors[TOKENS] = edge.EdgeVectorParams(
            (manifest.token_encoder or manifest.encoder).dimension,
            edge.Distance.Cosine,
            multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
            datatype=_STORAGE[manifest.settings.tensor_storage],
            hnsw_config=_NO_GRAPH,
        )
    return edge.EdgeConfig(
        vectors=vectors or None,
        sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )
