"""A language model that is asked each question once, for money that is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.models.answer_store import AnswerStore, question_key
from retrieve_rerank.models.language_model import Answers, LanguageModel, Prompt
from retrieve_rerank.models.metering import Meter, Usage, tokens_of, usage_of

T = TypeVar("T")

_AT_ONCE = 8
"""Prompts that a server is sent at once: what a kill may cost."""


class MeteredModel:
    """A `LanguageModel` that keeps answers in a store, and asks another for those it lacks.

    With `asks=False` it asks nobody: answers that are not known are empty or zero, and what they
    would have cost is counted. Raises CostLimitError before it asks for more than is allowed.
    """

    def __init__(
        self, model: LanguageModel, store: AnswerStore, meter: Meter, *, asks: bool = True
    ) -> None:
        self._model = model
        self._store = store
        self._meter = meter
        self._asks = asks
        self._thread = threading.local()

    def counting(self, meter: Meter) -> MeteredModel:
        """Return one that asks nobody, and counts by another meter."""
        return MeteredModel(self._model, self._store, meter, asks=False)

    def taken(self) -> list[bytes]:
        """Return the keys of what this thread has asked since it was last called, in order."""
        keys: list[bytes] = getattr(self._thread, "keys", [])
        self._thread.keys = []
        return keys

    def forget(self, keys: Sequence[bytes]) -> None:
        """Forget answers that say nothing, so that another run asks for them again."""
        self._store.forget(keys)

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self._model.fingerprint

    @property
    def max_tokens(self) -> int:
        """The model's."""
        return self._model.max_tokens

    @property
    def tells_logits(self) -> bool:
        """The model's."""
        return self._model.tells_logits

    def next_token_logits(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Do as the model does."""
        return self._rows("logits", prompts, words, self._model.next_token_logits)

    def next_token_log_probabilities(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Do as the model does."""
        ask = self._model.next_token_log_probabilities
        return self._rows("log-probabilities", prompts, words, ask)

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> Answers[list[str]]:
        """Do as the model does."""

        def ask(places: Sequence[int]) -> Answers[list[str]]:
            asked = [prompts[place] for place in places]
            return self._model.generate(asked, max_new_tokens=max_new_tokens)

        questions = [("text", prompt, max_new_tokens) for prompt in prompts]
        usages = [usage_of([prompt], max_new_tokens=max_new_tokens) for prompt in prompts]
        return self._answers(questions, usages, ask, unknown="")

    def log_likelihoods(
        self, prompts: Sequence[Prompt], continuations: Sequence[str]
    ) -> Answers[list[Vectors]]:
        """Do as the model does."""

        def ask(places: Sequence[int]) -> Answers[list[Any]]:
            told = self._model.log_likelihoods(
                [prompts[place] for place in places], [continuations[place] for place in places]
            )
            return Answers([row.tolist() for row in told.values], told.truncated)

        pairs = list(zip(prompts, continuations, strict=True))
        usages = [
            Usage(1, usage_of([prompt], max_new_tokens=0).input_tokens + tokens_of(continuation))
            for prompt, continuation in pairs
        ]
        questions = [("likelihood", *pair) for pair in pairs]
        told = self._answers(questions, usages, ask, unknown=[0.0])
        return Answers([np.array(row, dtype=np.float32) for row in told.values], told.truncated)

    def _rows(
        self,
        kind: str,
        prompts: Sequence[Prompt],
        words: Sequence[str],
        method: Callable[[Sequence[Prompt], Sequence[str]], Answers[Vectors]],
    ) -> Answers[Vectors]:
        def ask(places: Sequence[int]) -> Answers[list[Any]]:
            told = method([prompts[place] for place in places], words)
            return Answers(told.values.tolist(), told.truncated)

        questions = [(kind, prompt, list(words)) for prompt in prompts]
        usages = [usage_of([prompt], max_new_tokens=1) for prompt in prompts]
        told = self._answers(questions, usages, ask, unknown=[0.0] * len(words))
        shape = (len(prompts), len(words))
        return Answers(np.array(told.values, dtype=np.float32).reshape(shape), told.truncated)

    def _answers(
        self,
        questions: Sequence[Any],
        usages: Sequence[Usage],
        ask: Callable[[Sequence[int]], Answers[list[T]]],
        *,
        unknown: T,
    ) -> Answers[list[T]]:
        """Find answers, and ask for those that are not known, a few at a time."""
        facts = (self._model.fingerprint, self._model.max_tokens)
        keys = [question_key(*facts, question) for question in questions]
        self._thread.keys = [*getattr(self._thread, "keys", []), *keys]
        known = self._store.find(keys)
        self._meter.find_known(sum(key in known for key in keys))
        new = list({key: n for n, key in enumerate(keys) if key not in known}.values())
        # What runs here costs no money, and is quicker with all prompts at once.
        at_once = len(new) if self._model.tells_logits else _AT_ONCE
        for start in range(0, len(new), at_once or 1):
            places = new[start : start + at_once]
            self._meter.ask(reduce(Usage.plus, (usages[place] for place in places)))
            if not self._asks:
                known |= {keys[place]: [unknown, []] for place in places}
                continue
            told = ask(places)
            fresh = {
                keys[place]: [value, list(cut)]
                for place, value, cut in zip(places, told.values, told.truncated, strict=True)
            }
            self._store.keep(fresh)
            known |= fresh
        found = [known[key] for key in keys]
        return Answers([value for value, _ in found], [tuple(cut) for _, cut in found])
