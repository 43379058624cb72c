"""Pairwise: a language model says which of two documents is more relevant.

Knows nothing of how a model is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Literal

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.language_model import LanguageModel
from retrieve_rerank.rerankers.llm.aggregation import AGGREGATIONS, prefers
from retrieve_rerank.rerankers.llm.comparer import Comparer, Questions, Scoring
from retrieve_rerank.rerankers.llm.comparison_prompts import PAIRWISE, ComparisonPrompt
from retrieve_rerank.rerankers.llm.sorting import SORTS, above_the_rest
from retrieve_rerank.template import Template

Method = Literal["heap", "bubble", "sum", "binary", "sym-sum", "wins"]


class Pairwise(Comparer):
    """Order documents by comparisons of two, each pair asked in both orders.

    "heap" and "bubble" look for the best `top_k`, one pair after another, with answers that
    contradict each other as ties, and leave the rest as it was (PRP: Z. Qin et al.,
    https://arxiv.org/abs/2306.17563); scores count down to 1, and to 0 for the rest. "sum",
    "binary", "sym-sum" and "wins" ask all n (n − 1) questions at once, and add the answers up to
    scores, see `aggregation`.
    """

    name = "llm-pairwise"

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: ComparisonPrompt | str | None = None,
        method: Method = "heap",
        top_k: int = 10,
        scoring: Scoring | None = None,
        template: Template | str | None = None,
        device: str = "auto",
        max_tokens: int | None = None,
    ) -> None:
        """`prompt` is one of PAIRWISE, or your own; None is the one that the model
        was trained with, where that is known, else "prp-chat".

        `scoring` compares the likelihoods of the two answers, or reads what the model writes.
        """
        super().__init__(
            model,
            prompt=prompt,
            prompts=PAIRWISE,
            template=template,
            device=device,
            max_tokens=max_tokens,
        )
        methods = (*SORTS, *AGGREGATIONS)
        if method not in methods:
            raise InputError(f"unknown method {method!r}; known: {', '.join(methods)}")
        if top_k < 1:
            raise InputError(f"top_k must be at least 1; got {top_k}")
        self.method = method
        self.top_k = top_k
        self.scoring = self._scoring(scoring)

    def _scores(self, questions: Questions, top_k: int | None) -> list[float]:
        if self.method in AGGREGATIONS:
            return AGGREGATIONS[self.method](self._preferences(questions))

        @cache
        def beats(first: int, second: int) -> bool:
            votes = questions.votes([(first, second), (second, first)], self.scoring)
            return prefers(votes[0][0], votes[1][0])

        def choose(items: Sequence[int]) -> int:
            best = items[0]
            for item in items[1:]:
                if beats(item, best):
                    best = item
            return best

        # A node of the heap is compared with its two children; neighbours, with each other.
        set_size = 3 if self.method == "heap" else 2
        k = top_k or self.top_k
        taken = SORTS[self.method](questions.count, k, choose, set_size=set_size)
        return above_the_rest(taken, questions.count)

    def _preferences(self, questions: Questions) -> list[list[float]]:
        pairs = list(permutations(range(questions.count), 2))
        preferences = [[0.0] * questions.count for _ in range(questions.count)]
        for (first, second), vote in zip(pairs, questions.votes(pairs, self.scoring), strict=True):
            preferences[first][second] = vote[0]
        return preferences
