"""Decoders with a linear head on the last token's state: RankLLaMA, bge-reranker-layerwise, ….

Needs the extra `torch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ConfigError, ModelError
from retrieve_rerank.models.causal.causal_network import CausalNetwork
from retrieve_rerank.models.causal.checkpoints import (
    batch_budget,
    find_language_model,
    load_network,
    most_tokens,
)
from retrieve_rerank.models.causal.layerwise_network import LAYERWISE, load_layerwise
from retrieve_rerank.models.causal.pretrained import loading
from retrieve_rerank.models.checkpoints.labels import Label, choose_label
from retrieve_rerank.models.language_model import Answers, Prompt
from retrieve_rerank.models.loading import Checkpoint
from retrieve_rerank.models.tokenizers.prompts import PromptTokenizer


class ScalarHeadModel:
    """A decoder that gives each prompt one number; one may be shared by many threads.

    In float32 on the CPU, in bfloat16 on a GPU; the head is computed in float32 on either.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        label: Label | None = None,
        layers: int | None = None,
        max_tokens: int | None = None,
        threads: int | None = None,
    ) -> None:
        with loading(checkpoint.folder.path):
            self._load(checkpoint, label, layers, max_tokens=max_tokens, threads=threads)

    def _load(
        self,
        checkpoint: Checkpoint,
        label: Label | None,
        layers: int | None,
        *,
        max_tokens: int | None,
        threads: int | None,
    ) -> None:
        network = _load(checkpoint, layers, threads=threads)
        head = getattr(network, "score", None)
        if not isinstance(head, torch.nn.Linear):
            raise ModelError(f"{type(network).__name__} has no linear head called score")
        self.name = checkpoint.name
        names = [network.config.id2label[n] for n in range(network.config.num_labels)]
        self._label = choose_label(names, label, model=checkpoint.name)
        depth = network.config.get_text_config().num_hidden_layers
        self.fingerprint = f"{checkpoint.fingerprint} {label} {depth}"
        limit = most_tokens(checkpoint, network)
        self.max_tokens = min(max_tokens or limit, limit)
        self.tokenizer = PromptTokenizer(checkpoint.folder.path, config=network.config)
        self._head = head
        self._network = CausalNetwork(
            network.get_decoder(), pad_id=self.tokenizer.pad_id, budget=batch_budget(checkpoint)
        )

    def __repr__(self) -> str:
        return f"ScalarHeadModel({self.name!r})"

    def scores(self, prompts: Sequence[Prompt]) -> Answers[Vectors]:
        """Score each prompt by the head's raw output; (n,)."""
        encoded = self.tokenizer.encode(prompts, max_tokens=self.max_tokens)
        if not encoded:
            return Answers(np.empty(0, dtype=np.float32), [])
        after = [[self.tokenizer.pad_id]] * len(encoded)  # any one token: it is only predicted
        states = torch.cat(self._network.states([prompt.ids for prompt in encoded], after))
        logits = states.float() @ self._head.weight.float().T  # (n, labels)
        if self._head.bias is not None:
            logits = logits + self._head.bias.float()
        scores = self._label(logits.cpu().numpy())
        return Answers(scores, [prompt.truncated for prompt in encoded])


def load_scalar_head_model(
    name: str,
    *,
    label: Label | None = None,
    layers: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    max_tokens: int | None = None,
) -> ScalarHeadModel:
    """Load a decoder with a linear head: a folder, or a hub id.

    `label` says what to make of several outputs, see `labels.Label`; `layers` is for models that
    can be read before their last layer, see `load_layerwise`, and raises ConfigError for others.
    The rest is as for `load_language_model`.
    """
    checkpoint = find_language_model(name, device=device)
    return ScalarHeadModel(
        checkpoint, label=label, layers=layers, max_tokens=max_tokens, threads=threads
    )


def _load(checkpoint: Checkpoint, layers: int | None, *, threads: int | None) -> Any:
    architecture = checkpoint.folder.architecture
    if architecture == LAYERWISE:
        return load_layerwise(checkpoint, layers, threads=threads)
    if layers is not None:
        raise ConfigError(
            f"{checkpoint.name} has no heads below its last layer: `layers` is for {LAYERWISE}, as"
            " in BAAI/bge-reranker-v2-minicpm-layerwise"
        )
    if not architecture.endswith("ForSequenceClassification"):
        raise ModelError(
            f"{checkpoint.name} is a {architecture or 'model of no known kind'}; expected one"
            " for sequence classification, whose head has been trained"
        )
    return load_network(checkpoint, AutoModelForSequenceClassification, threads=threads)
