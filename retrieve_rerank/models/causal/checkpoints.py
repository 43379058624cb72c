"""Names to language models on this machine, and their networks.

Needs the extra `torch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.causal.pretrained import load_pretrained
from retrieve_rerank.models.checkpoints.folder import DEFAULT_MAX_TOKENS, ModelFolder, read_network
from retrieve_rerank.models.checkpoints.folder_files import list_files
from retrieve_rerank.models.checkpoints.network_files import (
    choose_network,
    missing_gpu,
    missing_network,
    wants_gpu,
)
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.checkpoints.weights import check_no_adapter, check_weights
from retrieve_rerank.models.loading import Checkpoint, check_threads

CPU_BUDGET = 2048
"""Tokens in a batch on the CPU: enough to fill the cores, little enough for the caches."""
GPU_BUDGET = 16384
"""Tokens in a batch on a GPU; where its memory does not suffice, batches become smaller."""

_UNLIMITED = 10**9  # transformers writes 10**30 where a tokenizer has no limit


def find_language_model(name: str, *, device: str = "auto") -> Checkpoint:
    """Find a checkpoint with safetensors and choose the device; arguments as for loading it."""
    on_gpu = wants_gpu(device)
    if device == "auto":
        on_gpu = on_gpu and torch.cuda.is_available()
    elif on_gpu and not torch.cuda.is_available():
        raise missing_gpu()
    path = resolve(name, on_gpu=True)  # on_gpu: in safetensors, on whatever device
    files = list_files(path)
    check_no_adapter(path, files)
    config, tokenizer = read_network(path)
    network = choose_network(files, on_gpu=True)
    if network is None:
        raise missing_network(files, where=str(path), on_gpu=False)
    folder = ModelFolder(
        path=path,
        transformer=path,
        config=config,
        tokenizer=tokenizer,
        max_tokens=DEFAULT_MAX_TOKENS,  # the network's configuration says more, once loaded
    )
    check_weights(folder, network, files)
    chosen = ("cuda" if device == "auto" else device) if on_gpu else "cpu"
    return Checkpoint(name, folder, network, chosen)


def load_network(
    checkpoint: Checkpoint,
    kind: Any,
    *,
    threads: int | None,
    config: Any = None,
    renamed: Mapping[str, str] | None = None,
) -> Any:
    """Load a network of transformers for inference, from safetensors and without its code.

    `kind` is one of its Auto classes, or a network's own with its `config`; `renamed` are patterns
    of weights' names, and what to put in their place. `threads` bounds the CPU threads, all cores
    when None. Raises ModelError where weights are missing, and ConfigError for `threads` below 1.
    """
    check_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)
    folder, device = checkpoint.folder.path, checkpoint.device
    network, found = load_pretrained(
        kind,
        folder,
        config=config,
        key_mapping=renamed,
        dtype=torch.float32 if device == "cpu" else torch.bfloat16,
    )
    if found["missing_keys"]:
        names = sorted(found["missing_keys"])
        saved_as = ", ".join(map(str, checkpoint.folder.config.get("architectures") or ()))
        raise ModelError(
            f"{folder} lacks weights of its network: {len(names)}, as {names[0]}"
            + (f"; it was saved as {saved_as}" if saved_as else "")
        )
    return network.to(device).eval().requires_grad_(False)


def most_tokens(checkpoint: Checkpoint, network: Any) -> int:
    """Return how many tokens the network can read, as it and its tokenizer record."""
    positions = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    stated = (positions, checkpoint.folder.tokenizer.get("model_max_length"))
    return int(min((n for n in stated if n and n < _UNLIMITED), default=DEFAULT_MAX_TOKENS))


def batch_budget(checkpoint: Checkpoint) -> int:
    """Return how many tokens a batch should have on the checkpoint's device."""
    return CPU_BUDGET if checkpoint.device == "cpu" else GPU_BUDGET
