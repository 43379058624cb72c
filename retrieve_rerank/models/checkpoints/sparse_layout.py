"""What a learned sparse encoder's checkpoint records.

Reads the settings that sentence-transformers writes. SPLADE: Formal et al., SIGIR 2021,
https://arxiv.org/abs/2107.05720; with static weights for queries: Geng et al.,
https://arxiv.org/abs/2411.04403.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ModelError

_POOLINGS = ("max", "sum")
_ACTIVATIONS = ("relu", "log1p_relu")


@dataclass(frozen=True, slots=True)
class Splade:
    """How logits over the vocabulary become weights."""

    pooling: str = "max"
    """Over a text's tokens: "max" or "sum"."""
    activation: str = "relu"
    """Before log(1 + x): "relu", or "log1p_relu", which is log(1 + relu(x))."""
    most: int | None = None
    """Most weights that a text keeps, the largest; None for all."""
    query_weights: Path | None = None
    """Folder of the weights and the tokenizer of queries that no network reads."""


def read_splade(
    whole: Mapping[str, Any], modules: Sequence[tuple[str, Path, Mapping[str, Any]]]
) -> Splade | None:
    """Read config_sentence_transformers.json and the modules' settings.

    None where the checkpoint is of another type.
    """
    pooling = next((config for kind, _, config in modules if kind == "SpladePooling"), None)
    if pooling is None:
        return None
    splade = Splade(
        pooling=pooling.get("pooling_strategy", "max"),
        activation=pooling.get("activation_function", "relu"),
        most=whole.get("max_active_dims"),
        query_weights=next((p for kind, p, _ in modules if kind == "SparseStaticEmbedding"), None),
    )
    if splade.pooling not in _POOLINGS or splade.activation not in _ACTIVATIONS:
        raise ModelError(
            f"SpladePooling with {splade.pooling!r} and {splade.activation!r} is unknown; known:"
            f" {', '.join(_POOLINGS)}; {', '.join(_ACTIVATIONS)}"
        )
    return splade


def read_router(path: Path, config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (type, subfolder) of the modules behind a Router, queries' weights first.

    Raises ModelError unless queries take static weights and documents a network with
    SpladePooling.
    """
    types, routes = config.get("types", {}), config.get("structure", {})
    kinds = {
        task: [types[module].rpartition(".")[2] for module in routes.get(task, ())]
        for task in ("query", "document")
    }
    if kinds["query"] != ["SparseStaticEmbedding"] or kinds["document"][1:] != ["SpladePooling"]:
        raise ModelError(
            f"{path} sends queries through {kinds['query']} and documents through"
            f" {kinds['document']}; known: SparseStaticEmbedding, and a network with SpladePooling"
        )
    return [(types[module], module) for task in kinds for module in routes[task]]
