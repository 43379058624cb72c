"""From a hidden state to the logits of chosen tokens: only their rows of the output matrix.

Computes in float32 whatever the network's type: bfloat16 logits have eight bits, and tie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from retrieve_rerank.errors import ModelError

_ROWS = 128  # hidden states times the whole matrix at once: 80 MB of logits at 150,000 tokens


class VocabularyHead:
    """The output layer of a language model of transformers."""

    def __init__(self, network: Any) -> None:
        layer = network.get_output_embeddings()
        if layer is None:
            raise ModelError(f"{type(network).__name__} has no output layer over its vocabulary")
        config = network.config.get_text_config()
        self._layer = layer
        self._scale = _scale(config)
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)

    # Looked up anew each time: where weights are sharded the whole ones are others at every pass.
    @property
    def _weight(self) -> torch.Tensor:
        weight: torch.Tensor = self._layer.weight  # (vocabulary, hidden)
        return weight

    @property
    def _bias(self) -> torch.Tensor | None:
        return getattr(self._layer, "bias", None)

    def logits(self, states: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """Return the logits of these tokens; (n, hidden) to (n, tokens)."""
        rows = torch.tensor(ids, device=self._weight.device)
        bias = None if self._bias is None else self._bias[rows]
        return self._apply(states, self._weight[rows], bias)

    def log_probabilities(self, states: torch.Tensor, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return log-probabilities, over the vocabulary, of each state's own tokens.

        (n, hidden) to (n, tokens).
        """
        if not ids:
            return torch.empty((0, 1))
        wanted = torch.tensor(ids, device=self._weight.device)
        parts = []
        for start in range(0, len(states), _ROWS):
            logits = self._apply(states[start : start + _ROWS], self._weight, self._bias)
            tokens = wanted[start : start + _ROWS]
            parts.append(logits.gather(1, tokens) - logits.logsumexp(dim=-1, keepdim=True))
        return torch.cat(parts)

    def distributions(self, states: torch.Tensor) -> torch.Tensor:
        """Return all log-probabilities; (n, hidden) to (n, vocabulary)."""
        return self._apply(states, self._weight, self._bias).log_softmax(dim=-1)

    def check(self, network: Any, token: int) -> None:
        """Raise ModelError unless the states after a token give the network's own logits.

        So that a model that does more to its logits than is known here is refused, not misread.
        """
        read: dict[str, Any] = {"input_ids": torch.tensor([[token]], device=network.device)}
        with torch.no_grad():
            asked = read
            if getattr(network.config, "is_encoder_decoder", False):
                start = torch.tensor([[network.config.decoder_start_token_id]])
                encoded = network.get_encoder()(**read).last_hidden_state
                read = {**read, "decoder_input_ids": start.to(network.device)}
                asked = {"input_ids": read["decoder_input_ids"], "encoder_hidden_states": encoded}
            expected = network(**read, use_cache=False).logits[0]
            states = network.get_decoder()(**asked, use_cache=False).last_hidden_state[0]
            found = self._apply(states, self._weight, self._bias)
        spread = (expected.max() - expected.min()).item() or 1.0
        if (found - expected.float()).abs().max().item() > 0.05 * spread:
            raise ModelError(f"{type(network).__name__} changes its logits in a way not known here")

    def _apply(
        self, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        logits = states.float() @ weight.float().T * self._scale
        if bias is not None:
            logits = logits + bias.float()
        return torch.tanh(logits / self._cap) * self._cap if self._cap else logits


def _scale(config: Any) -> float:
    """What the logits are multiplied by before the bias."""
    if hasattr(config, "logits_scaling"):  # Granite
        return 1.0 / float(config.logits_scaling)
    if getattr(config, "scale_decoder_outputs", False):  # T5
        return 1.0 / math.sqrt(config.d_model)
    return float(getattr(config, "logit_scale", None) or 1.0)  # Cohere
