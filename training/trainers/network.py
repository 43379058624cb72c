"""A reranker in training: groups to scores with a gradient, and the `Scorer` to look at it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from safetensors.torch import load_file, load_model
from torch import Tensor

from retrieve_rerank.base import Scorer
from retrieve_rerank.models.causal.pretrained import silent
from retrieve_rerank.models.runtimes.openvino import choose_arithmetic
from retrieve_rerank.models.runtimes.torch import gpu
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.losses import Terms
from retrieve_rerank.training.trainers.base import Base
from retrieve_rerank.training.trainers.layers import choose_trainable
from retrieve_rerank.training.trainers.objective import Objective, targets
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.training.trainers.sharding import asked_sharding

_CPU_BUDGET = 4096  # tokens: some 1.5 GB of what the backward pass needs, at MiniLM's size
_GPU_BUDGET = 32_768


class TokenSequence(Protocol):
    """What a network reads at once."""

    @property
    def ids(self) -> Sequence[int]:
        """Its tokens."""


S = TypeVar("S", bound=TokenSequence)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a forward pass gives."""

    scores: Tensor
    """(groups, size), float32; anything where a group has fewer texts than the longest."""
    tokens: Mapping[str, Terms] = field(default_factory=dict)
    """Losses over tokens, by their names."""
    lower: Sequence[Tensor] = ()
    """Scores of lower layers' heads, as `scores`; the lowest first."""


class Network(ABC, Generic[S]):
    """A network with what is trained of it; what it reads of a group, and how it scores that."""

    reranker: ClassVar[str]
    """The name of the reranker that runs what is trained."""

    log_vocabulary: float = 0.0
    """Of how many tokens it can say, the natural logarithm; of those that say none, 0."""

    lower_heads: int = 0
    """How many heads there are on lower layers."""

    texts_alone: ClassVar[bool] = True
    """Whether a text has a score whatever the others of its group are."""

    mean_log_p: bool = False
    """Whether scores are means of tokens' log-probabilities."""

    reads_all: bool = True
    """Whether it reads all texts of a group, and not only those that a loss over tokens teaches."""

    def __init__(self, base: Base, settings: TrainerSettings) -> None:
        self.base = base
        self.device = torch.device(_device(settings.device))
        # What divides weights places each process's part itself; whole, they may have no room.
        self.network = base.network if asked_sharding() else base.network.to(self.device)
        self.trained = choose_trainable(self.network, settings)
        """The network, or what LoRA makes of it."""
        if settings.gradient_checkpointing:
            # Its name since transformers 5.24; the older one warns there.
            new = hasattr(self.network, "activation_checkpointing_enable")
            name = "activation_checkpointing_enable" if new else "gradient_checkpointing_enable"
            getattr(self.network, name)({"use_reentrant": False})
        on_cpu = self.device.type == "cpu"
        self.bf16 = settings.bf16 if settings.bf16 is not None else _native_bf16(on_cpu)
        self.token_budget = settings.token_budget or (_CPU_BUDGET if on_cpu else _GPU_BUDGET)

    @property
    def description(self) -> str:
        """Where and how it computes."""
        return (
            f"torch on {self.device.type}, {'bfloat16' if self.bf16 else 'float32'}"
            f", {'padded' if self.padded else 'without padding'}"
        )

    @property
    def padded(self) -> bool:
        """Whether the sequences of a pass are filled up to the longest."""
        return True

    @abstractmethod
    def read(self, group: Group) -> Sequence[S]:
        """Return what the network reads of a group, as it will when it serves."""

    @abstractmethod
    def forward(self, groups: Sequence[Sequence[S]]) -> Outcome:
        """Score what was read of some groups, with a gradient."""

    @abstractmethod
    def scorer(self) -> Scorer:
        """Make a `Scorer` of the network as it is now; it follows the network's training."""

    @abstractmethod
    def recorded(self) -> Mapping[str, Any]:
        """Return what its folder's retrieve_rerank.json is to say of how it reads."""

    def own_scores(self, scores: Tensor, counts: Sequence[int]) -> Sequence[Tensor]:
        """Return what `forward` scored the texts of each group for its own query, so many each."""
        return [row[:count] for row, count in zip(scores, counts, strict=True)]

    def lacks(self, group: Group) -> str | None:
        """Say why it cannot read a group; None where it can."""
        return None

    def token_counts(self, sequences: Sequence[S]) -> Mapping[str, int]:
        """Return how many tokens each loss over tokens has in these."""
        return {}

    def targets(
        self, groups: Sequence[Group], objective: Objective
    ) -> tuple[Tensor, Tensor | None]:
        """Return the labels of the scores, and a teacher's scores if a loss wants them."""
        return targets(groups, objective)

    def load(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint."""
        if self.trained is self.network:
            load_model(self.network, str(checkpoint / "model.safetensors"))  # knows tied weights
        else:
            from peft import set_peft_model_state_dict

            weights = load_file(checkpoint / "adapter_model.safetensors")
            set_peft_model_state_dict(self.trained, weights)

    def merged(self) -> Any:
        """Return the network with what LoRA has learnt put into its weights."""
        return self.network if self.trained is self.network else self.trained.merge_and_unload()

    def save(self, folder: Path) -> None:
        """Write weights and configuration."""
        with silent():
            self.merged().save_pretrained(folder)

    def arithmetic(self) -> Any:
        """Return the context to compute in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if gpu() else "cpu"
    return wanted


def _native_bf16(on_cpu: bool) -> bool:
    """Whether the processor multiplies bfloat16, and does not only emulate it."""
    if on_cpu:
        return choose_arithmetic("bf16").floats == "bf16"
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
