"""Setwise: a language model picks the best of a few documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.language_model import LanguageModel
from retrieve_rerank.rerankers.llm.comparer import Comparer, Questions, Scoring
from retrieve_rerank.rerankers.llm.comparison_prompts import ComparisonPrompt
from retrieve_rerank.rerankers.llm.published_comparisons import SETWISE
from retrieve_rerank.rerankers.llm.sorting import SORTS, above_the_rest
from retrieve_rerank.text.template import Template


class Setwise(Comparer):
    """Find the best `top_k` documents by questions for the best of `set_size`.

    S. Zhuang et al.: A Setwise Approach for Effective and Highly Efficient Zero-shot Ranking with
    Large Language Models, https://arxiv.org/abs/2310.09497. Scores count down to 1, and the rest,
    which stays as it was, has 0.
    """

    name = "llm-setwise"
    chooses = True
    prompts = SETWISE

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: ComparisonPrompt | Mapping[str, Any] | Path | str | None = None,
        method: Literal["heap", "bubble"] = "heap",
        set_size: int = 3,
        top_k: int = 10,
        scoring: Scoring | None = None,
        template: Template | str | None = None,
        device: str = "auto",
        max_tokens: int | None = None,
    ) -> None:
        """`prompt` is one of SETWISE, a file, or what a file would hold; None is the one that
        the model was trained with, where that is known, else "setwise-chat".

        `scoring` compares the likelihoods of the answers, or reads what the model writes.
        """
        super().__init__(
            model,
            prompt=prompt,
            template=template,
            device=device,
            max_tokens=max_tokens,
        )
        if method not in SORTS:
            raise InputError(f"unknown method {method!r}; known: {', '.join(SORTS)}")
        most = self.prompt.most
        if not 3 <= set_size <= most:
            raise InputError(f"set_size must lie between 3 and {most}; got {set_size}")
        if top_k < 1:
            raise InputError(f"top_k must be at least 1; got {top_k}")
        self.method = method
        self.set_size = set_size
        self.top_k = top_k
        self.scoring = self._scoring(scoring)

    def _scores(self, questions: Questions) -> list[float]:
        known: dict[tuple[int, ...], int] = {}

        def choose(groups: Sequence[Sequence[int]]) -> list[int]:
            sets = [tuple(group) for group in groups]
            new = [items for items in dict.fromkeys(sets) if items not in known]
            if new:
                for items, vote in zip(new, questions.votes(new, self.scoring), strict=True):
                    known[items] = items[vote.index(max(vote))]
            return [known[items] for items in sets]

        taken = SORTS[self.method](questions.count, self.top_k, choose, set_size=self.set_size)
        return above_the_rest(taken, questions.count)
