"""Sequence-to-sequence networks of transformers, from token ids to the decoder's states.

What prompts share is read again for each: in an encoder every token depends on all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from retrieve_rerank.models.runtimes.fitting import run_fitting


class Seq2SeqNetwork:
    """An encoder and a decoder; many threads may call it at once."""

    def __init__(self, network: Any, *, pad_id: int, budget: int) -> None:
        self._encoder = network.get_encoder()
        self._decoder = network.get_decoder()
        self._start: int = network.config.decoder_start_token_id
        self._device = next(network.parameters()).device
        self._pad_id = pad_id
        self._budget = budget

    def states(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[torch.Tensor]:
        """Return the states that predict each token of each continuation; (tokens, hidden)."""
        found: list[torch.Tensor] = [torch.empty(0)] * len(prompts)

        def run(group: list[int]) -> list[torch.Tensor]:
            ids, mask = self._padded([prompts[i] for i in group])
            wanted = [continuations[i] for i in group]
            begun, _ = self._padded([[self._start, *tokens[:-1]] for tokens in wanted])
            encoded = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            states = self._decoder(
                input_ids=begun,
                encoder_hidden_states=encoded,
                encoder_attention_mask=mask,
                use_cache=False,
            ).last_hidden_state  # (batch, tokens, hidden)
            return [states[row, : len(tokens)].clone() for row, tokens in enumerate(wanted)]

        with torch.inference_mode():
            lengths = [len(prompt) for prompt in prompts]
            for index, state in run_fitting(lengths, run, budget=self._budget):
                found[index] = state
        return found

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(row) for row in rows)
        ids = [[*row, *[self._pad_id] * (longest - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        return (
            torch.tensor(ids, device=self._device),
            torch.tensor(mask, device=self._device),
        )
