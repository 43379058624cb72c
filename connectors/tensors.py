"""Token tensors as bytes, for backends that keep them without understanding them.

A tensor is its tokens' numbers, row after row, little-endian, nothing before or after: 4, 2 or 1
bytes each as float32, float16 or int8. The int8 of a token are its numbers divided by its largest
and multiplied by 127; no scale is kept, as tokens have length 1 and get it back when they are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from retrieve_rerank.base import TensorDtype, TensorSettings, Vectors
from retrieve_rerank.errors import IndexCorruptError, IndexMismatchError
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.pooling import unit_rows

_STORED: dict[TensorDtype, np.dtype[np.generic]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
}
_INT8_MAX = np.float32(127)


def content_hash(text: str) -> str:
    """Hash the text that a tensor is made from: 128 bits as 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def settings_hash(settings: TensorSettings) -> str:
    """Hash what a tensor's numbers depend on beside its text: 64 bits as 16 hexadecimal digits."""
    of = f"{settings.fingerprint} {settings.dimension} {settings.dtype} {settings.pooling_factor}"
    return hashlib.blake2b(of.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def pack(tokens: Vectors, dtype: TensorDtype) -> bytes:
    """Write a document's token vectors, (tokens, dim), rows of length 1."""
    if dtype == "int8":
        largest = np.abs(tokens).max(axis=1, keepdims=True)
        tokens = np.rint(tokens / np.maximum(largest, np.float32(1e-12)) * _INT8_MAX)
    return tokens.astype(_STORED[dtype]).tobytes()


def unpack(data: bytes, dimension: int, dtype: TensorDtype) -> Vectors:
    """Read token vectors back, (tokens, dim); raise IndexCorruptError for a stray length."""
    if not data or len(data) % (dimension * _STORED[dtype].itemsize):
        raise IndexCorruptError(
            f"a token tensor of {len(data)} bytes does not hold vectors of {dimension} {dtype} "
            "numbers; make the tensors anew with rr tensors drop and rr tensors add"
        )
    stored = np.frombuffer(data, dtype=_STORED[dtype]).reshape(-1, dimension)
    rows: Vectors = stored.astype(np.float32)
    return unit_rows(rows) if dtype == "int8" else rows


def score(
    query: Vectors, packed: Sequence[bytes], *, dimension: int, dtype: TensorDtype
) -> list[float]:
    """Compute MaxSim of a query's token vectors, (m, dim), with each stored tensor."""
    scores = max_sim(query, (unpack(data, dimension, dtype) for data in packed))
    return [float(each) for each in scores]


def check_same_settings(
    location: str, there: TensorSettings | None, wanted: TensorSettings
) -> None:
    """Raise IndexMismatchError where there are tensors that were made with other settings."""
    if there is not None and there != wanted:
        raise IndexMismatchError(
            f"{location} has token tensors of other settings: {_described(there)}; wanted are "
            f"{_described(wanted)}. Go on with the former, make them anew (rr tensors refresh), or "
            "delete them first (rr tensors drop)"
        )


def _described(settings: TensorSettings) -> str:
    return (
        f"{settings.encoder} (fingerprint {settings.fingerprint}), {settings.dimension} "
        f"{settings.dtype} numbers a token, pooled by {settings.pooling_factor}"
    )
