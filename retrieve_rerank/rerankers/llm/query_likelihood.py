"""How likely a language model finds the query, having read the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.language_model import Answers, LanguageModel
from retrieve_rerank.rerankers.llm.pair_prompts import LikelihoodPrompt, load_prompt
from retrieve_rerank.rerankers.llm.pointwise import Pointwise
from retrieve_rerank.rerankers.llm.published_prompts import LIKELIHOOD
from retrieve_rerank.text.template import Template


class QueryLikelihood(Pointwise[LikelihoodPrompt]):
    """Score texts by the log-probability of the query's tokens after a prompt with the text.

    Sachan et al., EMNLP 2022, https://arxiv.org/abs/2204.07496 (UPR); Zhang et al., 2023,
    https://arxiv.org/abs/2311.16720 (RankingGPT).
    """

    name = "llm-query-likelihood"

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise ConfigError for a prompt that cannot be used, or where none is known."""
        load_prompt(
            options.get("prompt"), LIKELIHOOD, LikelihoodPrompt, model=str(options["model"])
        )

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: LikelihoodPrompt | Mapping[str, Any] | Path | str | None = None,
        instruction: str | None = None,
        template: Template | str | None = None,
        max_tokens: int | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """`prompt` is one of LIKELIHOOD, a file, or what a file would hold; None: the model's own.

        `max_tokens` shortens what the model reads of prompt and text together. It, `device` and
        `threads` are for a model given by name.
        """
        named = model if isinstance(model, str) else model.name
        chosen = load_prompt(prompt, LIKELIHOOD, LikelihoodPrompt, model=named)
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
        self.model = model

    def _ask(
        self, query: str, texts: Sequence[str], instruction: str | None
    ) -> Answers[Sequence[float]]:
        prompts = [self.prompt.render(query, text, instruction) for text in texts]
        told = self.model.log_likelihoods(prompts, [query] * len(texts))
        sums = [float(tokens.sum(dtype="float64")) for tokens in told.values]
        if self.prompt.aggregate == "sum":
            return Answers(sums, told.truncated)
        lengths = [max(len(tokens), 1) for tokens in told.values]  # an empty query has none
        return Answers([s / n for s, n in zip(sums, lengths, strict=True)], told.truncated)
