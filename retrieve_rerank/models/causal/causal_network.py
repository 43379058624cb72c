"""Decoders of transformers, from token ids to hidden states; what prompts share is read once."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from inspect import signature
from typing import Any

import torch

from retrieve_rerank.models.causal.last_layer import LastLayer, nearly_equal
from retrieve_rerank.models.runtimes.fitting import run_fitting

logger = logging.getLogger(__name__)

MIN_SHARED = 8
"""Tokens below which it costs more to copy what prompts share than to read it again."""

_PROBE = ((1, 2, 3, 4, 5, 4, 3, 2, 5, 1), (1, 2, 3, 4, 5, 4, 3, 2, 4))  # in any vocabulary


class CausalNetwork:
    """A decoder; many threads may call it at once.

    Sequences are padded on the right, where no token sees the padding, so that neither masks nor
    positions need to be told: a real token's state is what it would be alone. Where a network's
    memory cannot be copied for several texts, as that of recurrent layers, prompts are read whole.
    """

    def __init__(self, decoder: Any, *, pad_id: int, budget: int) -> None:
        self._decoder = decoder
        self._last_layer = LastLayer(decoder)
        self._device = next(decoder.parameters()).device
        self._pad_id = pad_id
        self._budget = budget
        # Its name since transformers 5.24, in calls and in answers; the older one warns there.
        called = "cache" in signature(decoder.forward).parameters
        self._cache_name = "cache" if called else "past_key_values"
        self._shares = self._can_share()
        if not self._shares:
            logger.info("%s reads what prompts share for each anew", type(decoder).__name__)

    def states(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[torch.Tensor]:
        """Return the states that predict each token of each continuation; (tokens, hidden).

        The first is that of the prompt's last token. The tokens that all prompts begin with go
        through the network once; their keys and values are copied for each batch. So do
        continuations of one prompt that differ in their last token only, "Passage A" and
        "Passage B": that token is predicted, and not read.
        """
        wanted = [
            ((*prompt, *continuation[:-1]), len(continuation))
            for prompt, continuation in zip(prompts, continuations, strict=True)
        ]
        places = {question: place for place, question in enumerate(dict.fromkeys(wanted))}
        found = self._states([list(ids) for ids, _ in places], [count for _, count in places])
        return [found[places[question]] for question in wanted]

    def _states(self, sequences: Sequence[list[int]], counts: Sequence[int]) -> list[torch.Tensor]:
        """Return the states of so many last tokens of each sequence."""
        shared = _shared(sequences, counts) if self._shares else 0
        found: list[torch.Tensor] = [torch.empty(0)] * len(sequences)
        with torch.inference_mode():
            cache = self._read(sequences[0][:shared]) if shared else None

            def run(group: list[int]) -> list[torch.Tensor]:
                rows = [sequences[i][shared:] for i in group]
                ends = [len(row) - 1 for row in rows]
                one_each = all(counts[i] == 1 for i in group)
                with self._last_layer.only(ends) if one_each else nullcontext():
                    states = self._batch(rows, cache)  # (batch, tokens, hidden)
                return [
                    # a copy, so that the batch's memory is free again
                    states[row, len(rows[row]) - counts[i] : len(rows[row])].clone()
                    for row, i in enumerate(group)
                ]

            lengths = [len(sequence) - shared for sequence in sequences]
            for index, state in run_fitting(lengths, run, budget=self._budget):
                found[index] = state
        return found

    def _can_share(self) -> bool:
        """Whether states after a copied beginning are those of the whole."""
        ends = [len(row) - 1 for row in _PROBE]
        rows = range(len(_PROBE))
        with torch.inference_mode():
            expected = self._batch(_PROBE, None)[rows, ends]
            try:
                cache = self._read(_PROBE[0][:MIN_SHARED])
                rest = self._batch([row[MIN_SHARED:] for row in _PROBE], cache)
            except Exception:  # whatever a network's own code raises over a memory of its own kind
                return False
            return nearly_equal(rest[rows, [end - MIN_SHARED for end in ends]], expected)

    def _read(self, ids: Sequence[int]) -> Any:
        """Run what is shared; return its keys and values.

        In a group of one, so that what fails says so in the same words.
        """

        def run(group: list[int]) -> list[Any]:
            row = torch.tensor([list(ids)], device=self._device)
            return [getattr(self._decoder(input_ids=row, use_cache=True), self._cache_name)]

        [(_, cache)] = run_fitting([len(ids)], run, budget=self._budget)
        return cache

    def _batch(self, rows: Sequence[Sequence[int]], cache: Any) -> torch.Tensor:
        longest = max(len(row) for row in rows)
        ids = torch.tensor(
            [[*row, *[self._pad_id] * (longest - len(row))] for row in rows], device=self._device
        )
        if cache is None:
            states: torch.Tensor = self._decoder(input_ids=ids, use_cache=False).last_hidden_state
            return states
        cache = copy.deepcopy(cache)  # the network adds to what it is given
        cache.batch_repeat_interleave(len(rows))
        answer = self._decoder(input_ids=ids, use_cache=True, **{self._cache_name: cache})
        states = answer.last_hidden_state
        return states


def _shared(sequences: Sequence[list[int]], counts: Sequence[int]) -> int:
    """How many first tokens all sequences have in common, short of those with states wanted."""
    if len(sequences) < 2:
        return 0
    most = min(len(s) - max(count, 1) for s, count in zip(sequences, counts, strict=True))
    first, last = min(sequences), max(sequences)  # what these share, all between them do
    length = 0
    while length < most and first[length] == last[length]:
        length += 1
    return length if length >= MIN_SHARED else 0
