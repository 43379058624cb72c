"""Networks without padding: the texts or pairs of a batch follow each other in one row of tokens.

For CPUs: a GPU is faster with padding. Each token attends to its own text alone. Of a cross-encoder
only the first token of each pair goes on after the last layer's attention, the one that the score
is made of. For networks of BERT's kind. Needs the extra `torch`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AttentionInterface

from retrieve_rerank.models.runtimes.batching import TokenBatch

logger = logging.getLogger(__name__)

FAMILIES = ("bert", "roberta", "xlm-roberta")
_ATTENTION = "retrieve_rerank_packed"


def pack(network: Any) -> PackedNetwork | None:
    """Make a classifier or an encoder work without padding; None, and it stays as it was, where
    that fails.

    Networks of another kind are left alone, and so are those that give other scores or states
    packed than padded, because they attend in a way of their own.
    """
    if network.config.model_type not in FAMILIES:
        return None
    pad, word = network.config.pad_token_id or 0, network.config.vocab_size // 2
    ids = np.array([[word, word + 1, word + 2, pad, pad], [*range(word, word + 5)]])
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    probe = TokenBatch(ids, mask, np.zeros_like(ids))
    before = network.config._attn_implementation
    with torch.inference_mode():
        output = network(
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
        )
        packed = PackedNetwork(network)
        if packed.scores:
            expected, run = output.logits, packed.logits
        else:
            expected = output.last_hidden_state[torch.from_numpy(mask).bool()]
            run = packed.states
        try:
            difference = float((run(probe) - expected).abs().max())
        except RuntimeError as exc:
            difference = float("inf")
            logger.warning("not packing %s: %s", network.name_or_path, exc)
    rounding = 1e-4 if network.dtype == torch.float32 else 3e-2
    if difference <= rounding * max(1.0, float(expected.abs().max())):
        return packed
    if packed.hook is not None:
        packed.hook.remove()
    network.set_attn_implementation(before)
    return None


class PackedNetwork:
    """A classifier or encoder of one of FAMILIES; many threads may call it at once."""

    def __init__(self, network: Any) -> None:
        """Takes the network over: it cannot be called with padded batches afterwards."""
        AttentionInterface.register(_ATTENTION, attend)
        network.set_attn_implementation(_ATTENTION)
        self.scores = network.base_model is not network
        """Whether it has a head, as a classifier does."""
        self.hook: Any = None
        if self.scores:
            last = network.base_model.encoder.layer[-1].attention.output
            self.hook = last.register_forward_pre_hook(self._keep_first_tokens)
        self._network = network
        self._call = threading.local()  # where each pair begins, for the hook
        self._has_types = network.config.type_vocab_size > 1
        # RoBERTa and its kin count positions from behind the padding token's id, and leave
        # padding out, even where a text contains its name.
        self._pad_id = None if network.config.model_type == "bert" else network.config.pad_token_id

    def logits(self, batch: TokenBatch) -> torch.Tensor:
        """Return a classifier's (n, labels)."""
        logits: torch.Tensor = self._run(batch).logits
        return logits

    def states(self, batch: TokenBatch) -> torch.Tensor:
        """Return an encoder's states of all tokens, text after text, (tokens, dim)."""
        states: torch.Tensor = self._run(batch).last_hidden_state[0]
        return states

    def _run(self, batch: TokenBatch) -> Any:
        mask = torch.from_numpy(batch.attention_mask)
        ids = torch.from_numpy(batch.input_ids)
        counted = mask if self._pad_id is None else (ids != self._pad_id).long()
        positions = counted.cumsum(1) - 1
        if self._pad_id is not None:
            positions = (positions + 1) * counted + self._pad_id
        lengths = mask.sum(1)
        self._call.firsts = lengths.cumsum(0) - lengths
        real = mask.bool()
        types = torch.from_numpy(batch.token_type_ids)[real][None]
        return self._network(
            input_ids=ids[real][None],
            position_ids=positions[real][None],
            token_type_ids=types if self._has_types else None,
            lengths=lengths.tolist(),
        )

    def _keep_first_tokens(
        self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Make (1, tokens, dim) to (n, 1, dim): what was attended to, and the residual."""
        return tuple(states[0, self._call.firsts, None] for states in inputs)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    lengths: Sequence[int],
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each stretch of `lengths`; (1, heads, tokens, dim) to (1, tokens, heads, dim).

    One by one, split and put together whole, so that the gradient too is put together once, not
    for each stretch.
    """
    stretches = zip(
        *(torch.split(states, list(lengths), 2) for states in (query, key, value)), strict=True
    )
    found = [
        functional.scaled_dot_product_attention(q, k, v, scale=scaling, dropout_p=dropout)
        for q, k, v in stretches
    ]
    return torch.cat([attended.transpose(1, 2) for attended in found], dim=1), None
