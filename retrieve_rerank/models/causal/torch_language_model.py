"""Language models run here by torch and transformers, from safetensors and without their code.

Needs the extra `torch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from retrieve_rerank.base import Vectors
from retrieve_rerank.models.causal.causal_network import CausalNetwork
from retrieve_rerank.models.causal.checkpoints import (
    batch_budget,
    find_language_model,
    load_network,
    most_tokens,
)
from retrieve_rerank.models.causal.pretrained import loading
from retrieve_rerank.models.causal.seq2seq_network import Seq2SeqNetwork
from retrieve_rerank.models.causal.vocabulary_head import VocabularyHead
from retrieve_rerank.models.language_model import Answers, Part, Piece, Prompt
from retrieve_rerank.models.runtimes.fitting import run_fitting
from retrieve_rerank.models.tokenizers.prompts import PromptTokenizer, PromptTokens


class TorchLanguageModel:
    """A causal or sequence-to-sequence model; one may be shared by many threads.

    In float32 on the CPU, in bfloat16 on a GPU; logits are float32 on either.
    """

    tells_logits = True

    def __init__(
        self,
        network: Any,
        tokenizer: PromptTokenizer,
        *,
        name: str,
        fingerprint: str,
        max_tokens: int,
        budget: int,
    ) -> None:
        """`budget` is how many tokens a batch should have. Raises ModelError for a network whose
        logits are not what its output layer makes of its states.
        """
        self.name = name
        self.fingerprint = fingerprint
        self.max_tokens = max_tokens
        self.tokenizer = tokenizer
        self._seq2seq = bool(getattr(network.config, "is_encoder_decoder", False))
        self._network = network
        self._stops = _stops(network, tokenizer)
        self._head = VocabularyHead(network)
        self._budget = budget
        self._states: CausalNetwork | Seq2SeqNetwork = (
            Seq2SeqNetwork(network, pad_id=tokenizer.pad_id, budget=budget)
            if self._seq2seq
            else CausalNetwork(network.get_decoder(), pad_id=tokenizer.pad_id, budget=budget)
        )
        self._head.check(network, tokenizer.pad_id)

    def __repr__(self) -> str:
        device, dtype = self._network.device, str(self._network.dtype).removeprefix("torch.")
        return f"TorchLanguageModel({self.name!r}, 'torch on {device}, {dtype}')"

    def next_token_logits(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Return the logits, right after each prompt, of each word's first token; (n, words).

        Raises InputError where two words begin with the same token.
        """
        ids = self.tokenizer.first_tokens(words, attached=_attached(prompts))
        states, truncated = self._next_states(prompts)
        if not prompts:
            return Answers(np.empty((0, len(words)), dtype=np.float32), [])
        return Answers(self._head.logits(states, ids).cpu().numpy(), truncated)

    def next_token_log_probabilities(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Return log-probabilities over the whole vocabulary; else as `next_token_logits`."""
        ids = self.tokenizer.first_tokens(words, attached=_attached(prompts))
        states, truncated = self._next_states(prompts)
        if not prompts:
            return Answers(np.empty((0, len(words)), dtype=np.float32), [])
        found = self._head.log_probabilities(states, [ids] * len(prompts))
        return Answers(found.cpu().numpy(), truncated)

    def log_likelihoods(
        self, prompts: Sequence[Prompt], continuations: Sequence[str]
    ) -> Answers[list[Vectors]]:
        """Return the log-probability of each token of each prompt's continuation; (tokens,).

        A causal model's tokenizer reads the continuation together with what it follows; of a
        sequence-to-sequence model the token that ends every text is one of its tokens.
        """
        if not prompts:
            return Answers([], [])
        if self._seq2seq:
            encoded = self._encode(prompts)
            alone = [Prompt((Piece((Part(text, "query"),)),)) for text in continuations]
            targets = [target.ids for target in self._encode(alone)]
            starts = [prompt.ids for prompt in encoded]
        else:
            encoded = self._encode(prompts, continuations)
            starts = [prompt.ids[: len(prompt.ids) - prompt.continued] for prompt in encoded]
            targets = [prompt.ids[len(prompt.ids) - prompt.continued :] for prompt in encoded]
        states = torch.cat(self._states.states(starts, targets))
        tokens = [[token] for target in targets for token in target]
        with torch.inference_mode():
            found = self._head.log_probabilities(states, tokens)[:, 0].cpu().numpy()
        ends = np.cumsum([len(target) for target in targets])
        return Answers(np.split(found, ends[:-1]), [prompt.truncated for prompt in encoded])

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> Answers[list[str]]:
        """Continue each prompt greedily by at most so many tokens, special ones left out."""
        encoded = self._encode(prompts, room=0 if self._seq2seq else max_new_tokens)

        def run(group: list[int]) -> list[list[int]]:
            rows = [encoded[i].ids for i in group]
            longest = max(len(row) for row in rows)
            pad = self.tokenizer.pad_id  # on the left, so that answers begin in one place
            ids = [[pad] * (longest - len(row)) + row for row in rows]
            mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
            made: torch.Tensor = self._network.generate(
                input_ids=torch.tensor(ids, device=self._network.device),
                attention_mask=torch.tensor(mask, device=self._network.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
            )
            answers = made[:, 1 if self._seq2seq else longest :].tolist()
            return [self._until_stop(answer) for answer in answers]

        lengths = [len(prompt.ids) + max_new_tokens for prompt in encoded]
        texts = [""] * len(prompts)
        with torch.inference_mode():
            for index, ids in run_fitting(lengths, run, budget=self._budget):
                texts[index] = self.tokenizer.decode(ids)
        return Answers(texts, [prompt.truncated for prompt in encoded])

    def _encode(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[str] | None = None,
        *,
        room: int = 0,
    ) -> list[PromptTokens]:
        return self.tokenizer.encode(
            prompts,
            max_tokens=self.max_tokens - room,
            continuations=continuations,
            ended=self._seq2seq,
        )

    def _next_states(self, prompts: Sequence[Prompt]) -> tuple[torch.Tensor, list[tuple[int, ...]]]:
        if not prompts:
            return torch.empty(0), []
        encoded = self._encode(prompts)
        unknown = [[self.tokenizer.pad_id]] * len(encoded)  # any one token: it is only predicted
        states = self._states.states([prompt.ids for prompt in encoded], unknown)
        return torch.cat(states), [prompt.truncated for prompt in encoded]

    def _until_stop(self, ids: list[int]) -> list[int]:
        ends = [place for place, token in enumerate(ids) if token in self._stops]
        return ids[: ends[0]] if ends else ids


def load_language_model(
    name: str,
    *,
    device: str = "auto",
    threads: int | None = None,
    max_tokens: int | None = None,
) -> TorchLanguageModel:
    """Load a language model: a folder, or a hub id.

    `device` is "auto" (a GPU where torch finds one), "cpu" or "cuda"; `max_tokens` shortens what
    the model would read. Raises ModelNotFoundError or ModelError.
    """
    checkpoint = find_language_model(name, device=device)
    seq2seq = bool(checkpoint.folder.config.get("is_encoder_decoder"))
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    with loading(checkpoint.folder.path):
        network = load_network(checkpoint, kind, threads=threads)
        limit = most_tokens(checkpoint, network)
        return TorchLanguageModel(
            network,
            PromptTokenizer(checkpoint.folder.path),
            name=checkpoint.name,
            fingerprint=checkpoint.fingerprint,
            max_tokens=min(max_tokens or limit, limit),
            budget=batch_budget(checkpoint),
        )


def _attached(prompts: Sequence[Prompt]) -> bool:
    """Whether the prompts end within an answer that goes on without a space."""
    last = [prompt.pieces[-1] for prompt in prompts[:1]]
    return any(p.role == "assistant" and not p.parts[-1].text[-1:].isspace() for p in last)


def _stops(network: Any, tokenizer: PromptTokenizer) -> set[int]:
    """Make generation greedy, whatever the checkpoint recommends; return what ends an answer.

    The tokenizer's end counts too: of a base model that was made a chat model it alone may say
    how turns end.
    """
    recommended = network.generation_config
    end = recommended.eos_token_id
    ends = {*tokenizer.end, *([end] if isinstance(end, int) else end or ())}
    network.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # its own
        bos_token_id=recommended.bos_token_id,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_id,
        decoder_start_token_id=network.config.decoder_start_token_id
        if network.config.is_encoder_decoder
        else None,
    )
    return ends
