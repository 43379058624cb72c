"""Asking a language model whether a document is relevant, and reading its next token's logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.language_model import Answers, LanguageModel
from retrieve_rerank.rerankers.llm.pair_prompts import YesNoPrompt, load_prompt
from retrieve_rerank.rerankers.llm.pointwise import Pointwise
from retrieve_rerank.rerankers.llm.published_prompts import YES_NO
from retrieve_rerank.text.template import Template


class YesNo(Pointwise[YesNoPrompt]):
    """Score texts by how likely the model's next token is "yes", or whatever the prompt says.

    The score is as the prompt's `score` says: by default the log-odds of its two words.
    """

    name = "llm-yes-no"

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise ConfigError for a prompt that cannot be used, or where none is known."""
        load_prompt(options.get("prompt"), YES_NO, YesNoPrompt, model=str(options["model"]))

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: YesNoPrompt | Mapping[str, Any] | Path | str | None = None,
        instruction: str | None = None,
        template: Template | str | None = None,
        max_tokens: int | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """`prompt` is one of YES_NO, a file, or what a file would hold; None is the model's own.

        `max_tokens` shortens what the model reads of prompt and text together. It, `device` and
        `threads` are for a model given by name.
        """
        named = model if isinstance(model, str) else model.name
        chosen = load_prompt(prompt, YES_NO, YesNoPrompt, model=named)
        if isinstance(model, str):
            limit = max_tokens or chosen.max_tokens
            model = load_language_model(model, device=device, threads=threads, max_tokens=limit)
        super().__init__(
            model=model.name,
            model_fingerprint=f"{model.fingerprint} {model.max_tokens}",
            prompt=chosen,
            instruction=instruction,
            template=template,
        )
        if chosen.score == "logit" and not model.tells_logits:
            raise ConfigError(
                f"{model.name} tells probabilities, not logits; set the prompt's score to"
                " 'vocabulary' or 'log-odds'"
            )
        self.model = model
        self._words = [chosen.yes] if chosen.no is None else [chosen.yes, chosen.no]

    def _ask(
        self, query: str, texts: Sequence[str], instruction: str | None
    ) -> Answers[Sequence[float]]:
        prompts = [self.prompt.render(query, text, instruction) for text in texts]
        if self.prompt.score == "vocabulary":
            told = self.model.next_token_log_probabilities(prompts, self._words)
            return Answers(np.exp(told.values[:, 0].astype(np.float64)).tolist(), told.truncated)
        logits = self.model.next_token_logits(prompts, self._words)
        values = logits.values.astype(np.float64)
        if self.prompt.score == "logit":
            return Answers(values[:, 0].tolist(), logits.truncated)
        odds = values[:, 0] - values[:, 1]
        scores = odds if self.prompt.score == "log-odds" else np.exp(-np.logaddexp(0, -odds))
        return Answers(scores.tolist(), logits.truncated)
