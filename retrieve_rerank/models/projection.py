"""Linear layers that follow a network, computed with numpy from their safetensors files.

Sentence-transformers' Dense module: late-interaction models project every token with it, some
encoders their pooled vector. Knows nothing of texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.folder import read_json

_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "Identity": lambda values: values,
    "Tanh": np.tanh,
    "ReLU": lambda values: np.maximum(values, np.float32(0)),
    "Sigmoid": lambda values: 1 / (1 + np.exp(-values)),
}
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True, slots=True)
class Projection:
    """activation(x · weight + bias), plus x · residual where there is one."""

    weight: Vectors  # (in, out)
    bias: Vectors | None  # (out,)
    activation: str
    residual: Vectors | None = None  # (in, out)

    @property
    def dimension(self) -> int:
        """Length of what comes out."""
        return int(self.weight.shape[1])

    def __call__(self, vectors: Vectors) -> Vectors:
        """Project rows (n, in), or one vector (in,)."""
        linear = vectors @ self.weight
        if self.bias is not None:
            linear = linear + self.bias
        projected: Vectors = _ACTIVATIONS[self.activation](linear)
        return projected if self.residual is None else projected + vectors @ self.residual


def read_projection(folder: Path) -> Projection:
    """Read a Dense module's folder; raise ModelError where it holds something else."""
    config = read_json(folder / "config.json")
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = activation.rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ModelError(f"{folder} uses the activation {activation}; known: {known}")
    weights = read_safetensors(folder / "model.safetensors")
    weight = weights["linear.weight"].T
    residual = None
    if config.get("use_residual"):
        identity = np.eye(len(weight), dtype=np.float32)
        residual = weights["residual.weight"].T if "residual.weight" in weights else identity
    return Projection(weight, weights.get("linear.bias"), activation, residual)


def read_safetensors(file: Path) -> dict[str, Vectors]:
    """Read all tensors as float32; https://huggingface.co/docs/safetensors describes the format."""
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc}; expected safetensors") from exc
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    return {
        name: _tensor(
            content[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
            dtype=entry["dtype"],
            shape=entry["shape"],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _tensor(content: bytes, *, dtype: str, shape: list[int]) -> Vectors:
    if dtype == "BF16":  # the upper half of a float32
        halves = np.frombuffer(content, dtype="<u2").astype(np.uint32) << 16
        return halves.view(np.float32).reshape(shape)
    if dtype not in _FLOATS:
        raise ModelError(f"expected tensors of floats; got {dtype}")
    return np.frombuffer(content, dtype=_FLOATS[dtype]).astype(np.float32).reshape(shape)
