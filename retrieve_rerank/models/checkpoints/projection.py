"""Linear layers that follow a network, computed with numpy from their safetensors files.

Sentence-transformers' Dense module: late-interaction models project every token with it, some
encoders their pooled vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.folder_files import AGAIN
from retrieve_rerank.models.checkpoints.folder_schema import MODULE, read_settings
from retrieve_rerank.models.checkpoints.safetensors_files import read_safetensors

_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "Identity": lambda values: values,
    "Tanh": np.tanh,
    "ReLU": lambda values: np.maximum(values, np.float32(0)),
    "Sigmoid": lambda values: 1 / (1 + np.exp(-values)),
}


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
    config = read_settings(folder / "config.json", MODULE)
    activation = config.get("activation_function") or "torch.nn.modules.activation.Tanh"
    activation = activation.rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ModelError(f"{folder} uses the activation {activation}; known: {known}")
    file = folder / "model.safetensors"
    weights = read_safetensors(file)
    if "linear.weight" not in weights:
        raise ModelError(f"{file} lacks the weights called linear.weight; {AGAIN}")
    weight, bias = weights["linear.weight"].T, weights.get("linear.bias")
    residual = None
    if config.get("use_residual"):
        identity = np.eye(len(weight), dtype=np.float32)
        residual = weights["residual.weight"].T if "residual.weight" in weights else identity
    fits = weight.ndim == 2 and (bias is None or bias.shape == weight.shape[1:])
    if not fits or (residual is not None and residual.shape != weight.shape):
        raise ModelError(f"{file} holds weights whose shapes do not fit each other; {AGAIN}")
    return Projection(weight, bias, activation, residual)
