"""What models can run on here."""

from __future__ import annotations

import openvino as ov

from retrieve_rerank.models.checkpoints.network_files import wants_gpu


def devices() -> list[str]:
    """Describe the CPU, with the number types it is fast in, and a GPU where one can be used."""
    core = ov.Core()
    types = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    fast = ", ".join(each for each in types if each in ("FP32", "FP16", "BF16", "INT8"))
    found = [f"cpu: {core.get_property('CPU', 'FULL_DEVICE_NAME')} ({fast})"]
    return [*found, "cuda: through torch"] if wants_gpu("auto") else found
