"""The one module that data parallelism wraps, whatever kind of network is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T", Tensor, tuple[Tensor, Tensor])


class Door(nn.Module):
    """Runs functions of a network within its own forward pass.

    DDP, FSDP and DeepSpeed prepare weights and gradients at the forward pass of what they wrap;
    networks here are called in ways of their own (without padding, state by state), all of which
    happen inside. Weights that are sharded are whole there. What computes in bfloat16 is the
    network's to say: accelerate's mixed precision would have losses and output layers in it too.
    """

    def __init__(self, trained: Any) -> None:
        super().__init__()
        self.trained = trained
        # What FSDP's policies, DeepSpeed's "auto" and reports of runs ask a network for.
        self.config = trained.config
        self._no_split_modules = getattr(trained, "_no_split_modules", None)

    def forward(self, function: Callable[[], T]) -> T:
        """Return what the function does: tensors, as what wraps this looks through them."""
        device = next(self.trained.parameters()).device
        with torch.autocast(device.type, enabled=False):
            return function()
