"""Networks run by torch and transformers, from safetensors; on a GPU where there is one.

Needs the extra `torch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError, OutOfMemoryError
from retrieve_rerank.models.causal.pretrained import load_pretrained, loading, said
from retrieve_rerank.models.runtimes.batching import (
    GPU,
    PACKED,
    TORCH_CPU,
    Batching,
    TokenBatch,
)
from retrieve_rerank.models.runtimes.packed import pack

Head = Literal["none", "scores", "vocabulary"]
_KINDS: Mapping[Head, Any] = {
    "none": AutoModel,
    "scores": AutoModelForSequenceClassification,
    "vocabulary": AutoModelForMaskedLM,
}
_TRAINED: Mapping[Head, str] = {
    "none": "as an encoder",
    "scores": "to score pairs",
    "vocabulary": "to predict words",
}


class TorchBackend:
    """A network in torch; many threads may call it at once.

    On the CPU it computes in float32; on a GPU in the type that the checkpoint is stored in.
    """

    def __init__(self, folder: Path, *, head: Head, device: str, threads: int | None) -> None:
        if device != "cpu" and not gpu():
            raise ModelError("torch finds no GPU; use device 'cpu', or a torch built for this GPU")
        if threads is not None:
            torch.set_num_threads(threads)
        self._device = device
        with loading(folder):
            self._load(folder, head)

    def _load(self, folder: Path, head: Head) -> None:
        device = self._device
        self._network = load_network(
            folder, head=head, dtype=torch.float32 if device == "cpu" else "auto"
        ).to(device)
        self._inputs = input_names(self._network)
        # Of decoders that score, transformers finds the last token by the padding, and refuses
        # batches of those that have none.
        self._one_by_one = head == "scores" and self._network.config.pad_token_id is None
        # A GPU is faster with padding: an H100 1.4 times in float32, and 3.5 times in bfloat16.
        may_pack = head == "scores" and device == "cpu"
        self._packed = pack(self._network) if may_pack else None
        self.batching = batching_on(device, packed=self._packed is not None)
        dtype = str(self._network.dtype).removeprefix("torch.")
        self.description = f"torch on {device}, {dtype}{', packed' if self._packed else ''}"

    def run(self, batch: TokenBatch) -> Vectors:
        """Return hidden states (n, tokens, dim), or logits (n, labels) or (n, tokens, words)."""
        rows, tokens = batch.input_ids.shape
        try:
            with torch.inference_mode():
                states = self._packed.logits(batch) if self._packed else self._padded(batch)
                array: Vectors = states.float().cpu().numpy()
        except Exception as exc:  # whatever a network's own code raises
            if out_of_memory(exc):
                raise OutOfMemoryError(
                    f"out of memory on {rows} x {tokens} tokens; take a smaller model, or another"
                    " device"
                ) from exc
            raise ModelError(f"torch failed on a batch: {said(exc)}") from exc
        return array

    def _padded(self, batch: TokenBatch) -> torch.Tensor:
        inputs = {
            name: torch.from_numpy(getattr(batch, name)).to(self._device) for name in self._inputs
        }
        if not self._one_by_one:
            return _states(self._network(**inputs))
        alone = [
            {name: each[row : row + 1, :end] for name, each in inputs.items()}
            for row, end in enumerate(batch.attention_mask.sum(axis=1))
        ]
        return torch.cat([_states(self._network(**row)) for row in alone])


def load_network(folder: Path, *, head: Head, dtype: torch.dtype | str) -> Any:
    """Load the checkpoint in `folder` for inference, from safetensors and without its code."""
    network, found = load_pretrained(_KINDS[head], folder, dtype=dtype)
    # What a checkpoint lacks gets random weights; of a pooler's, encoders make no use.
    lacking = [name for name in found["missing_keys"] if head != "none" or "pooler" not in name]
    if lacking:
        raise ModelError(
            f"{folder} lacks weights of its network: {len(lacking)}, as {min(lacking)}; expected a "
            f"checkpoint that was trained {_TRAINED[head]}"
        )
    return network.eval()


def input_names(network: Any) -> list[str]:
    """Return which parts of a batch the network takes."""
    names = ["input_ids", "attention_mask"]
    # Models with one segment ignore the second text's number, and some do not know the argument.
    if getattr(network.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    return names


def _states(output: Any) -> torch.Tensor:
    states: torch.Tensor = output.logits if hasattr(output, "logits") else output.last_hidden_state
    return states


def out_of_memory(exc: Exception) -> bool:
    """Whether torch failed for want of memory."""
    # The allocator of the CPU raises nothing more precise.
    return isinstance(exc, torch.OutOfMemoryError) or "can't allocate memory" in str(exc)


def batching_on(device: str, *, packed: bool = False) -> Batching:
    """Return how large batches are to be there."""
    if device != "cpu":
        return GPU
    return PACKED if packed else TORCH_CPU


def gpu() -> bool:
    """Whether torch finds a GPU that it can use."""
    return bool(torch.cuda.is_available())
