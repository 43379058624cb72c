"""Listwise: a language model orders a window of documents, and the window slides to the top."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.language_model import LanguageModel
from retrieve_rerank.rerankers.llm.comparer import Comparer, Questions
from retrieve_rerank.rerankers.llm.comparison_prompts import ComparisonPrompt
from retrieve_rerank.rerankers.llm.published_comparisons import LISTWISE
from retrieve_rerank.rerankers.llm.sorting import above_the_rest, windows
from retrieve_rerank.text.template import Template

WINDOW = 20
"""Documents that are ordered at once, as in RankGPT."""


class Listwise(Comparer):
    """Order documents by windows of them, from the bottom of the ranking to its top.

    W. Sun et al.: Is ChatGPT Good at Search?, https://arxiv.org/abs/2304.09542 (RankGPT). A
    prompt with answers of one token orders a window by their likelihoods, so that nothing is
    written (FIRST: https://arxiv.org/abs/2406.15657). Documents that an answer leaves out follow
    those that it names, and the report counts such answers. Scores count down to 1.
    """

    name = "llm-listwise"
    chooses = False
    prompts = LISTWISE

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: ComparisonPrompt | Mapping[str, Any] | Path | str | None = None,
        window: int | None = None,
        step: int | None = None,
        passes: int = 1,
        template: Template | str | None = None,
        device: str = "auto",
        max_tokens: int | None = None,
    ) -> None:
        """`prompt` is one of LISTWISE, a file, or what a file would hold; None is the one that
        the model was trained with, where that is known, else "rank-zephyr".

        A `window` is 20 documents unless told otherwise, or as many as the prompt has names for;
        each starts `step` places above the one before, half a window. Further `passes` go on with
        the order that the last one left, unless it changed nothing.
        """
        super().__init__(
            model,
            prompt=prompt,
            template=template,
            device=device,
            max_tokens=max_tokens,
        )
        most = self.prompt.most
        window = min(WINDOW, most) if window is None else window
        if not 2 <= window <= most:
            raise InputError(f"window must lie between 2 and {most} documents; got {window}")
        step = window // 2 if step is None else step
        if not 1 <= step < window:
            raise InputError(f"step must lie between 1 and {window - 1} documents; got {step}")
        if passes < 1:
            raise InputError(f"passes must be at least 1; got {passes}")
        self.window = window
        self.step = step
        self.passes = passes

    def _scores(self, questions: Questions) -> list[float]:
        order = list(range(questions.count))
        for _ in range(self.passes):
            before = list(order)
            for start, end in windows(questions.count, size=self.window, step=self.step):
                order[start:end] = questions.order(
                    order[start:end], by_first_token=self.prompt.first_token
                )
            if order == before:
                break
        return above_the_rest(order, questions.count)
