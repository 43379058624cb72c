"""Weights in the format of safetensors: what a file says it holds, and small files as arrays.

https://huggingface.co/docs/safetensors describes the format.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError, shown
from retrieve_rerank.models.checkpoints.folder_files import AGAIN

_MOST_HEADER = 100_000_000  # bytes, as the library has it
_MOST_ARRAYS = 1 << 30  # bytes
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_POINTER = b"version https://git-lfs"


class Tensor(NamedTuple):
    """One entry of a header."""

    dtype: str
    shape: list[int]
    start: int
    """Byte of the file that it begins at."""
    end: int


def read_header(file: Path) -> dict[str, Tensor]:
    """Read what tensors a file says it holds; raise ModelError where it cannot be so."""
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            length = opened.read(8)
            begin = 8 + int.from_bytes(length, "little")
            if len(length) < 8 or begin > min(size, _MOST_HEADER):
                raise _not_safetensors(file, length + opened.read(len(_POINTER)), size)
            header = json.loads(opened.read(begin - 8))
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror}; expected safetensors") from exc
    except (ValueError, RecursionError) as exc:
        raise _not_safetensors(file, length, size) from exc
    if not isinstance(header, dict):
        raise _not_safetensors(file, length, size)
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return {
        name: _tensor(entry, begin=begin, size=size, where=f"{file} as {shown(name)}")
        for name, entry in entries.items()
    }


def read_safetensors(file: Path) -> dict[str, Vectors]:
    """Read all tensors, which must be of floats, as float32; raise ModelError."""
    header = read_header(file)
    if file.stat().st_size > _MOST_ARRAYS:
        raise ModelError(
            f"{file} has {file.stat().st_size:,} bytes; expected at most {_MOST_ARRAYS:,}: weights"
            " of a single layer"
        )
    content = np.memmap(file, dtype=np.uint8, mode="r") if header else np.empty(0, np.uint8)
    return {
        name: _array(content[tensor.start : tensor.end], tensor, where=f"{file} as {shown(name)}")
        for name, tensor in header.items()
    }


def _not_safetensors(file: Path, begins: bytes, size: int) -> ModelError:
    if begins.startswith(_POINTER[:8]):
        return ModelError(
            f"{file} is a pointer that Git LFS left in place of the weights; run git lfs pull in"
            " its folder"
        )
    return ModelError(f"{file} ({size:,} bytes) holds no safetensors, or was cut short; {AGAIN}")


def _tensor(entry: Any, *, begin: int, size: int, where: str) -> Tensor:
    given: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = (given.get(name) for name in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _numbers(shape) or not _numbers(offsets, 2):
        raise ModelError(f"{where} holds no tensor; expected dtype, shape and offsets; {AGAIN}")
    start, end = (begin + offset for offset in offsets)
    if not begin <= start <= end <= size:
        raise ModelError(
            f"{where} says its bytes are {start:,} to {end:,}; it has {size:,}: the file was cut"
            f" short; {AGAIN}"
        )
    return Tensor(dtype, shape, start, end)


def _numbers(value: Any, count: int | None = None) -> TypeGuard[list[int]]:
    numbers = isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
    return numbers and count in (None, len(value))


def _array(content: npt.NDArray[np.uint8], tensor: Tensor, *, where: str) -> Vectors:
    if tensor.dtype not in _FLOATS:
        raise ModelError(f"{where} holds {tensor.dtype}; expected floats")
    numbers = np.frombuffer(content, dtype=_FLOATS[tensor.dtype])
    if len(numbers) != math.prod(tensor.shape):
        raise ModelError(f"{where} holds {len(numbers):,} numbers in the shape {tensor.shape}")
    if tensor.dtype == "BF16":  # the upper half of a float32
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    array: Vectors = numbers.astype(np.float32).reshape(tensor.shape)
    return array
