"""Forward and backward passes of a cross-encoder, padded and without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from retrieve_rerank.models.runtimes.batching import TokenBatch
from retrieve_rerank.models.runtimes.packed import pack
from retrieve_rerank.models.runtimes.torch import input_names


class Passes:
    """A cross-encoder's gradient without dropout; `packed` is None where it has to be padded."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype, *, packed: bool) -> None:
        kind: Any = AutoModelForSequenceClassification
        self._network = kind.from_pretrained(str(folder), dtype=torch.float32).to(device).eval()
        self.packed = pack(self._network) if packed else None
        self._names = input_names(self._network)
        self._arithmetic = torch.autocast(device, dtype, enabled=dtype != torch.float32)

    def run(self, batch: TokenBatch) -> float:
        """Compute the gradient of the sum of squared scores; return a number of it."""
        self._network.zero_grad()
        with self._arithmetic:
            logits = self.packed.logits(batch) if self.packed else self._padded(batch)
        total = logits.float().square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        gradients = [each.grad for each in self._network.parameters() if each.grad is not None]
        return float(gradients[0].flatten()[0])  # the last to be computed: so it waits for all

    def gradient(self, batch: TokenBatch) -> Tensor:
        """Return that gradient, of all weights in a row, on the CPU."""
        self.run(batch)
        gradients = [each.grad for each in self._network.parameters() if each.grad is not None]
        return torch.cat([each.flatten() for each in gradients]).float().cpu()

    def _padded(self, batch: TokenBatch) -> Tensor:
        device = self._network.device
        inputs = {name: torch.from_numpy(getattr(batch, name)).to(device) for name in self._names}
        logits: Tensor = self._network(**inputs).logits
        return logits
