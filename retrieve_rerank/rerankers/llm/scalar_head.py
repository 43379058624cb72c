"""Decoders trained as rerankers, with a linear head on the last token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieve_rerank.models.causal.scalar_head_model import ScalarHeadModel, load_scalar_head_model
from retrieve_rerank.models.checkpoints.labels import Label
from retrieve_rerank.models.language_model import Answers
from retrieve_rerank.rerankers.llm.pair_prompts import PairPrompt
from retrieve_rerank.rerankers.llm.pointwise import Pointwise
from retrieve_rerank.rerankers.llm.published_prompts import load_scalar_prompt
from retrieve_rerank.text.template import Template


class ScalarHead(Pointwise[PairPrompt]):
    """Score texts by the raw output of a decoder's linear head.

    Ma et al., SIGIR 2024, https://arxiv.org/abs/2310.08319 (RankLLaMA).
    """

    name = "llm-scalar-head"

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise ConfigError for a prompt that cannot be used, or where none is known."""
        load_scalar_prompt(options.get("prompt"), model=str(options["model"]))

    def __init__(
        self,
        model: ScalarHeadModel | str,
        *,
        prompt: PairPrompt | Mapping[str, Any] | Path | str | None = None,
        label: Label | None = None,
        layers: int | None = None,
        instruction: str | None = None,
        template: Template | str | None = None,
        max_tokens: int | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """`prompt` is one of SCALAR, a file, or what a file would hold; None is the model's own.

        See `rag_retrieval` for what else there is.

        `label` says what to make of several outputs: one's number or name, or "expectation".
        `layers` is how many layers to run of a model that has a head for several numbers of them.
        `max_tokens` shortens what the model reads of prompt and text together. They, `device` and
        `threads` are for a model given by name.
        """
        named = model if isinstance(model, str) else model.name
        chosen = load_scalar_prompt(prompt, model=named)
        if isinstance(model, str):
            limit = max_tokens or chosen.max_tokens
            model = load_scalar_head_model(
                model,
                label=label,
                layers=layers,
                device=device,
                threads=threads,
                max_tokens=limit,
            )
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
        told = self.model.scores(prompts)
        return Answers(told.values.tolist(), told.truncated)
