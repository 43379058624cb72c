"""Pairwise: a language model says which of two documents is more relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.language_model import LanguageModel
from retrieve_rerank.rerankers.llm.aggregation import AGGREGATIONS, prefers
from retrieve_rerank.rerankers.llm.comparer import Comparer, Questions, Scoring
from retrieve_rerank.rerankers.llm.comparison_prompts import ComparisonPrompt
from retrieve_rerank.rerankers.llm.published_comparisons import PAIRWISE
from retrieve_rerank.rerankers.llm.sorting import SORTS, above_the_rest
from retrieve_rerank.text.template import Template

Method = Literal["heap", "bubble", "sum", "binary", "sym-sum", "wins"]


class Pairwise(Comparer):
    """Order documents by comparisons of two, each pair asked in both orders.

    "heap" and "bubble" look for the best `top_k`, with answers that contradict each other as
    ties, and leave the rest as it was (PRP: Z. Qin et al., https://arxiv.org/abs/2306.17563);
    scores count down to 1, and to 0 for the rest. "sum", "binary", "sym-sum" and "wins" ask all
    n (n − 1) questions at once, and add the answers up to scores, see `aggregation`.
    """

    name = "llm-pairwise"
    chooses = True
    prompts = PAIRWISE

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: ComparisonPrompt | Mapping[str, Any] | Path | str | None = None,
        method: Method = "heap",
        top_k: int = 10,
        scoring: Scoring | None = None,
        template: Template | str | None = None,
        device: str = "auto",
        max_tokens: int | None = None,
    ) -> None:
        """`prompt` is one of PAIRWISE, a file, or what a file would hold; None is the one that
        the model was trained with, where that is known, else "prp-chat".

        `scoring` compares the likelihoods of the two answers, or reads what the model writes.
        """
        super().__init__(
            model,
            prompt=prompt,
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

    def _scores(self, questions: Questions) -> list[float]:
        votes: dict[tuple[int, int], float] = {}  # for the first of a pair, standing first

        def ask(pairs: Sequence[tuple[int, int]]) -> None:
            both = [pair for first, second in pairs for pair in ((first, second), (second, first))]
            new = [pair for pair in dict.fromkeys(both) if pair not in votes]
            if new:
                found = questions.votes(new, self.scoring)
                votes.update({pair: vote[0] for pair, vote in zip(new, found, strict=True)})

        def choose(groups: Sequence[Sequence[int]]) -> list[int]:
            best = [group[0] for group in groups]
            for turn in range(1, max(len(group) for group in groups)):
                rivals = {n: group[turn] for n, group in enumerate(groups) if turn < len(group)}
                ask([(rival, best[n]) for n, rival in rivals.items()])
                for n, rival in rivals.items():
                    if prefers(votes[rival, best[n]], votes[best[n], rival]):
                        best[n] = rival
            return best

        count = questions.count
        if self.method in AGGREGATIONS:
            ask(list(combinations(range(count), 2)))
            table = [[votes.get((i, j), 0.0) for j in range(count)] for i in range(count)]
            return AGGREGATIONS[self.method](table)
        # A node of the heap is compared with its two children; neighbours, with each other.
        set_size = 3 if self.method == "heap" else 2
        taken = SORTS[self.method](count, self.top_k, choose, set_size=set_size)
        return above_the_rest(taken, count)
