"""What a benchmark says of the machine it ran on, and how it times things side by side."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def describe(*packages: str) -> str:
    """Name the date, the processor with the instructions that matter, and package versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    facts = dict(
        (key.strip(), value.strip())
        for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())
    )
    flags = set(facts.get("flags", "").split())
    known = " ".join(flag for flag in FLAGS if flag in flags) or "none of interest"
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{datetime.date.today():%Y-%m-%d} · {facts.get('model name', 'unknown processor')} "
        f"(family {facts.get('cpu family')}, model {facts.get('model')}), {os.cpu_count()} vCPU, "
        f"{known} · Python {platform.python_version()}, {versions}"
    )


def side_by_side(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int
) -> dict[str, list[float]]:
    """Run the contenders in turn, `rounds` times after one warm-up; seconds of each run.

    Taking turns lets a change in the machine's speed meet all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """How many times faster `fast` was, by medians."""
    return statistics.median(seconds[slow]) / statistics.median(seconds[fast])


def gemm_peak() -> dict[str, float]:
    """Measure the best rate of large matrix products on all cores, in 10⁹ operations a second.

    OpenVINO's own kernels: float32, bfloat16 and int8 (symmetric weights, uint8 activations),
    each where the processor has it.
    """
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    core = ov.Core()
    n, rows = 2048, 4096
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((n, n), dtype=np.float32)
    peaks: dict[str, float] = {}
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for kind in ("float32", "bfloat16", "int8"):
        if kind == "bfloat16" and "BF16" not in capabilities:
            continue
        activations = ops.parameter([rows, n], np.float32)
        left: ov.Node = activations
        right: ov.Node = ops.constant(weights)
        if kind == "int8":
            left = ops.fake_quantize(left, *_range(0.0, 4.0), levels=256)
            right = ops.fake_quantize(right, *_range(-4.0, 4.0), levels=255)
        product = ops.matmul(left, right, False, False)
        model = ov.Model([ops.result(product)], [activations])
        precision = "bf16" if kind == "bfloat16" else "f32"
        request = core.compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        ).create_infer_request()
        request.set_input_tensor(
            ov.Tensor(np.abs(rng.standard_normal((rows, n), dtype=np.float32)))
        )
        best = float("inf")
        for _ in range(8):
            started = time.perf_counter()
            request.infer()
            best = min(best, time.perf_counter() - started)
        peaks[kind] = 2 * rows * n * n / best / 1e9
    return peaks


def _range(low: float, high: float) -> tuple[float, float, float, float]:
    return low, high, low, high
