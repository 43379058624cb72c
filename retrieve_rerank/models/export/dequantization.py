"""The weights of an exported encoder or cross-encoder, back in float32: training starts from them.

For networks of BERT's kind that `convert` wrote, whose nodes are named in the order that the
network calls its layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from retrieve_rerank.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EMBEDDINGS = ("word", "token_type", "position")
_LINEAR = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_HEAD = ("pooler.dense", "classifier")
_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


def dequantised_weights(file: Path, *, layers: int, pairs: bool) -> dict[str, NDArray[np.float32]]:
    """Read the weights of an OpenVINO file by transformers' names, without "bert." before them.

    With `pairs` those of the head too. Raises ModelError where the file does not hold such a
    network.
    """
    network = ov.Core().read_model(file)
    nodes = {node.get_friendly_name(): node for node in network.get_ops()}
    try:
        inputs = {
            name: nodes[node].input_value(place) for name, node, place in _places(layers, pairs)
        }
    except KeyError as exc:
        raise ModelError(
            f"{file} holds no network of BERT's kind with {layers} layers, as rr models export"
            " writes it; name the checkpoint that it was made from"
        ) from exc
    # A model of constants alone: running it multiplies int8 weights by their scales.
    results = [ops.result(ops.convert(value, np.float32)) for value in inputs.values()]
    folded = ov.Core().compile_model(
        ov.Model(results, []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )([])
    # Vectors are kept as (1, 1, dim) or (1, dim), to be added to states.
    return {
        name: folded[place].reshape(-1) if _is_vector(name) else folded[place]
        for place, name in enumerate(inputs)
    }


def _is_vector(name: str) -> bool:
    return name.endswith(".bias") or "LayerNorm." in name


def _places(layers: int, pairs: bool) -> list[tuple[str, str, int]]:
    """Return each weight's name, the node that reads it, and as which of its inputs."""
    places = []
    for number, kind in enumerate(_EMBEDDINGS):
        node = f"{_numbered('embedding', number)}/aten.embedding.default/Gather"
        places.append((f"embeddings.{kind}_embeddings.weight", node, 0))
    linear = [f"encoder.layer.{layer}.{part}" for layer in range(layers) for part in _LINEAR]
    for number, name in enumerate([*linear, *(_HEAD if pairs else ())]):
        node = f"{_numbered('linear', number)}/aten.linear.default"
        places += [(f"{name}.weight", f"{node}/MatMul", 1), (f"{name}.bias", f"{node}/Add", 1)]
    norms = [f"encoder.layer.{layer}.{part}" for layer in range(layers) for part in _NORMS]
    for number, name in enumerate(["embeddings.LayerNorm", *norms]):
        node = f"{_numbered('native_layer_norm', number)}/aten.native_layer_norm.default"
        places += [(f"{name}.weight", f"{node}/Multiply_1", 1), (f"{name}.bias", f"{node}/Add", 1)]
    return places


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
