"""OpenVINO networks to int8, by NNCF's post-training quantisation.

Needs the extra `export`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

import nncf
import openvino as ov
from nncf.common.logging import nncf_logger

from retrieve_rerank.models.export.conversion import no_telemetry
from retrieve_rerank.models.runtimes.batching import Tokens, pad

RECIPES: Sequence[str] = (
    "int8 activations in all layers",
    "int8 activations but for the second feed-forward layers",
    "int8 weights alone",
)
"""From the fastest to the most faithful; see `quantise`."""

_SMOOTHING = (0.8, 0.7)  # measured on all-MiniLM-L6-v2, for the first two
_PASSED_THROUGH = ("Reshape", "Transpose", "Convert", "Squeeze")
_ACTIVATIONS = ("Gelu", "Swish", "Relu")


def quantise(model: ov.Model, sequences: Sequence[Tokens], *, pad_id: int, recipe: str) -> ov.Model:
    """Return the network with int8 weights, and int8 activations where the recipe says so.

    Attention itself, the small layer that joins its heads, and the layers that read a single
    token of each text stay in floating point: in int8 they cost accuracy and save hardly any
    time. The inputs of the second feed-forward layers carry the largest outliers, which is why
    the second recipe leaves those layers alone, for about a fifth more time. SmoothQuant (Xiao
    et al., ICML 2023, https://arxiv.org/abs/2211.10438) moves the other layers' outliers into
    the weights. Weights keep all 8 bits, which is right only because `OpenVINOBackend` never
    multiplies them in 16-bit sums.
    """
    nncf_logger.setLevel(logging.WARNING)
    with no_telemetry(), redirect_stdout(sys.stderr):  # NNCF draws its progress on stdout
        if recipe == RECIPES[2]:
            return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        model = _quantise_activations(model, sequences, pad_id=pad_id, recipe=recipe)
        return nncf.compress_weights(  # what is left of weights: the embeddings
            model,
            mode=nncf.CompressWeightsMode.INT8_SYM,
            ignored_scope=nncf.IgnoredScope(types=["MatMul"], validate=False),
        )


def _quantise_activations(
    model: ov.Model, sequences: Sequence[Tokens], *, pad_id: int, recipe: str
) -> ov.Model:
    names = [port.get_any_name() for port in model.inputs]
    batches = (pad([sequence], pad_id=pad_id) for sequence in sequences)
    dataset = nncf.Dataset([{name: getattr(batch, name) for name in names} for batch in batches])
    left_out = ["ScaledDotProductAttention"]
    left_out += _ACTIVATIONS if recipe == RECIPES[1] else ()
    return nncf.quantize(
        model,
        dataset,
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(sequences),
        ignored_scope=nncf.IgnoredScope(
            names=[
                node.get_friendly_name()
                for node in model.get_ordered_ops()
                if node.get_type_name() == "MatMul"
                and (_input_of(node) in left_out or _reads_one_token(node))
            ],
            types=["ScaledDotProductAttention"],
            validate=False,
        ),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.DISABLE,
            disable_bias_correction=True,  # wrong where activations are left in floating point
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                matmul=_SMOOTHING[RECIPES.index(recipe)]
            ),
        ),
    )


def _input_of(layer: ov.Node) -> str:
    """Return the type of operation that a linear layer's input comes from."""
    source = _source(layer)
    if source.get_type_name() == "Multiply":  # perhaps a gate: activation(x) · y
        gates = [_source(source, port).get_type_name() for port in (0, 1)]
        return next((gate for gate in gates if gate in _ACTIVATIONS), "Multiply")
    return str(source.get_type_name())


def _reads_one_token(layer: ov.Node) -> bool:
    """Whether its input is one token of each text: (n, dim) or (n, 1, dim)."""
    shape = layer.input(0).get_partial_shape()
    if shape.rank.is_dynamic:
        return False
    return len(shape) == 2 or (len(shape) == 3 and shape[1] == 1)


def _source(node: ov.Node, port: int = 0) -> ov.Node:
    source = node.input_value(port).get_node()
    while source.get_type_name() in _PASSED_THROUGH:
        source = source.input_value(0).get_node()
    return source
