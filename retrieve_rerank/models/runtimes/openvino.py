"""Networks run by OpenVINO on the CPU, from its own format or from ONNX."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino as ov
import platformdirs

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.runtimes.batching import OPENVINO, TokenBatch

logger = logging.getLogger(__name__)

# OpenVINO's binding sets itself up when a tensor is first read. Two threads that do so at once wait
# for ever: one holds its lock, the other the interpreter's. So it is done here, by one.
ov.Tensor(np.zeros(1, np.int64)).data  # noqa: B018

_INT8_DOT_PRODUCT = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Flags of x86 CPUs of which one is needed to multiply bytes without overflow."""


class Arithmetic(NamedTuple):
    """What this CPU computes a model in."""

    weights: str
    int8_activations: bool
    floats: str
    """"f32" or "bf16"."""
    reason: str

    def __str__(self) -> str:
        used = ["int8"] * self.int8_activations + [self.floats]
        return f"{self.weights} weights, computed in {' and '.join(used)} ({self.reason})"


class OpenVINOBackend:
    """A network compiled for this CPU; many threads may call it at once.

    `precision` is how the model was exported: "fp32"; "bf16", used where the CPU computes in
    bf16; "int8", whose activations are quantised only where the CPU has the instructions:
    without them int8 products saturate at 16 bits, which falsifies scores and is not even
    faster than fp32 with the int8 weights. `emulate_int8` computes them exactly wherever it
    runs, slowly, to measure what they do to scores.
    """

    batching = OPENVINO

    def __init__(
        self, file: Path, *, precision: str, threads: int | None, emulate_int8: bool = False
    ) -> None:
        core = ov.Core()
        try:
            model = core.read_model(file)
        except RuntimeError as exc:
            raise ModelError(f"cannot read the network {file}: {_first_line(exc)}") from exc
        arithmetic = choose_arithmetic(precision)
        if emulate_int8:
            arithmetic = arithmetic._replace(int8_activations=True, reason="int8 emulated")
        if precision == "int8" and not arithmetic.int8_activations:
            drop_activation_quantisers(model)
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",  # all cores on one batch; batches come one by one
            "INFERENCE_PRECISION_HINT": arithmetic.floats,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # would quantise what the export left out
        }
        if emulate_int8:
            config["LP_TRANSFORMS_MODE"] = "NO"
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        self._model = _compile(core, model, config, cached=not emulate_int8)
        self._inputs = [name for port in self._model.inputs for name in sorted(port.names)[:1]]
        self._output = _output_index(self._model)
        self.description = f"OpenVINO on the CPU, {arithmetic}"

    def run(self, batch: TokenBatch) -> Vectors:
        """Return hidden states (n, tokens, dim) or logits (n, labels)."""
        request = self._model.create_infer_request()
        try:
            request.infer({name: getattr(batch, name) for name in self._inputs})
        except RuntimeError as exc:
            raise ModelError(f"OpenVINO failed on a batch: {_first_line(exc)}") from exc
        output: Vectors = request.get_output_tensor(self._output).data.copy()
        return output


def choose_arithmetic(precision: str) -> Arithmetic:
    """Choose for a model exported at `precision`: "fp32", "bf16" or "int8"."""
    if precision == "fp32":
        return Arithmetic("fp32", False, "f32", "as the checkpoint is stored")
    bf16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    int8 = bool(_INT8_DOT_PRODUCT & cpu_flags())
    lacks = ["int8 dot products"] * (not int8 and precision == "int8") + ["bf16"] * (not bf16)
    reason = f"this CPU lacks {' and '.join(lacks)}" if lacks else "the fastest this CPU has"
    return Arithmetic(precision, int8 and precision == "int8", "bf16" if bf16 else "f32", reason)


def cpu_flags() -> frozenset[str]:
    """Return the instruction sets that the kernel reports; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, flags = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(flags.split())
    return frozenset()


def drop_activation_quantisers(model: ov.Model) -> None:
    """Take out what rounds activations to int8, leaving the weights as they are."""
    for node in model.get_ops():
        if node.get_type_name() == "FakeQuantize":
            node.output(0).replace(node.input_value(0))
    model.validate_nodes_and_infer_types()


def _compile(
    core: ov.Core, model: ov.Model, config: Mapping[str, Any], *, cached: bool
) -> ov.CompiledModel:
    cache = platformdirs.user_cache_path("retrieve-rerank") / "openvino"
    try:
        if cached:
            cache.mkdir(parents=True, exist_ok=True)
        if cached and os.access(cache, os.W_OK):
            return core.compile_model(model, "CPU", {**config, "CACHE_DIR": str(cache)})
    except (OSError, RuntimeError) as exc:  # full disk, read-only home, damaged file
        logger.debug("compiling without the cache in %s: %s", cache, exc)
    try:
        return core.compile_model(model, "CPU", dict(config))
    except RuntimeError as exc:
        raise ModelError(f"OpenVINO cannot compile the network: {_first_line(exc)}") from exc


def _output_index(model: ov.CompiledModel) -> int:
    """Find the logits or the hidden states among what exporters put out beside them."""
    for index, port in enumerate(model.outputs):
        if {"logits", "last_hidden_state", "token_embeddings"} & port.names:
            return index
    for index, port in enumerate(model.outputs):
        if port.partial_shape.rank.get_length() == 3:
            return index
    return 0


def _first_line(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
