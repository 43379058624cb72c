"""The one module that data parallelism wraps, whatever kind of network is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

T = TypeVar("T", Tensor, tuple[Tensor, Tensor])


class Door(nn.Module):
    """Runs functions of a network within its own forward pass.

    DDP, FSDP and DeepSpeed prepare weights and gradients at the forward pass of what they wrap;
    networks here are called in ways of their own (without padding, state by state), all of which
    happen inside. Weights that are sharded are whole there.
    """

    def __init__(self, trained: Any) -> None:
        super().__init__()
        self.trained = trained
        # What FSDP's policies, DeepSpeed's "auto" and reports of runs ask a network for.
        self.config = trained.config
        self._no_split_modules = getattr(trained, "_no_split_modules", None)

    def forward(self, function: Callable[[], T]) -> T:
        """Return what the function does: tensors, as what wraps this looks through them."""
        return function()
