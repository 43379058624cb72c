"""A cross-encoder in training: pairs to scores with a gradient, and the `Scorer` to look at it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import OutOfMemoryError
from retrieve_rerank.models.checkpoints.labels import LabelScore
from retrieve_rerank.models.loading import load_tokenizer
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.models.runtimes.batching import TokenBatch, Tokens, pad
from retrieve_rerank.models.runtimes.openvino import choose_arithmetic
from retrieve_rerank.models.runtimes.packed import pack
from retrieve_rerank.models.runtimes.torch import gpu, input_names, out_of_memory
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.trainers.base import Base
from retrieve_rerank.training.trainers.layers import choose_trainable
from retrieve_rerank.training.trainers.settings import TrainerSettings

_CPU_BUDGET = 4096  # tokens: some 1.5 GB of what the backward pass needs, at MiniLM's size
_GPU_BUDGET = 32_768


class PairNetwork:
    """A network with one label, without padding where that is possible."""

    def __init__(self, base: Base, settings: TrainerSettings) -> None:
        self.base = base
        self.device = torch.device(_device(settings.device))
        self.network = base.network.to(self.device)
        self.trained = choose_trainable(self.network, settings)
        """The network, or what LoRA makes of it."""
        self.tokenizer = load_tokenizer(base.folder)
        if settings.gradient_checkpointing:
            self.network.gradient_checkpointing_enable()
        on_cpu = self.device.type == "cpu"
        self.bf16 = settings.bf16 if settings.bf16 is not None else _native_bf16(on_cpu)
        may_pack = settings.without_padding and on_cpu and not settings.gradient_checkpointing
        self.packed = pack(self.network.eval()) if may_pack else None
        self._names = input_names(self.network)
        self.token_budget = settings.token_budget or (_CPU_BUDGET if on_cpu else _GPU_BUDGET)

    @property
    def description(self) -> str:
        """Where and how it computes."""
        return (
            f"torch on {self.device.type}, {'bfloat16' if self.bf16 else 'float32'}"
            f", {'without padding' if self.packed else 'padded'}"
        )

    def tokenize(self, group: Group) -> list[Tokens]:
        """Tokenise each pair as the model will read it when it serves."""
        folder = self.base.folder
        query = folder.pair_prompt + folder.for_user(group.query, group.user)
        return self.tokenizer.encode_pairs([(query, each.text) for each in group.texts])

    def scores(self, sequences: Sequence[Tokens]) -> Tensor:
        """Score each pair, (n,), float32, with a gradient."""
        return self.logits(pad(sequences, pad_id=self.tokenizer.pad_id))[:, 0].float()

    def logits(self, batch: TokenBatch) -> Tensor:
        """Return (n, 1)."""
        with self._arithmetic():
            if self.packed is not None:
                return self.packed.logits(batch)
            inputs = {
                name: torch.from_numpy(getattr(batch, name)).to(self.device) for name in self._names
            }
            logits: Tensor = self.network(**inputs).logits
        return logits

    def scorer(self) -> CrossEncoder:
        """Make a `Scorer` of the network as it is now; it follows the network's training."""
        folder = self.base.folder
        return CrossEncoder(
            PairModel(
                name=f"{self.base.name} in training",
                fingerprint=secrets.token_hex(8),  # no cache may know it
                folder=folder,
                tokenizer=self.tokenizer,
                backend=_Backend(self),
                label_score=LabelScore(0),
            )
        )

    def load(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint."""
        if self.trained is self.network:
            self.network.load_state_dict(load_file(checkpoint / "model.safetensors"))
        else:
            from peft import set_peft_model_state_dict

            weights = load_file(checkpoint / "adapter_model.safetensors")
            set_peft_model_state_dict(self.trained, weights)

    def merged(self) -> Any:
        """Return the network with what LoRA has learnt put into its weights."""
        return self.network if self.trained is self.network else self.trained.merge_and_unload()

    def _arithmetic(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()


class _Backend:
    """Runs the network without a gradient and without dropout."""

    def __init__(self, network: PairNetwork) -> None:
        self._network = network
        self.description = network.description

    def run(self, batch: TokenBatch) -> Vectors:
        network = self._network.network
        training = network.training
        network.eval()
        try:
            with torch.no_grad():
                array: Vectors = self._network.logits(batch).float().cpu().numpy()
        except Exception as exc:
            if out_of_memory(exc):
                raise OutOfMemoryError("out of memory while looking at the dev measure") from exc
            raise
        finally:
            network.train(training)
        return array


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if gpu() else "cpu"
    return wanted


def _native_bf16(on_cpu: bool) -> bool:
    """Whether the processor multiplies bfloat16, and does not only emulate it."""
    if on_cpu:
        return choose_arithmetic("bf16").floats == "bf16"
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
