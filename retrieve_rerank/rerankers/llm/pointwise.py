"""What rerankers that ask a model about one document at a time have in common."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from retrieve_rerank.base import TextScores
from retrieve_rerank.errors import ScoreError
from retrieve_rerank.models.language_model import Answers
from retrieve_rerank.rerankers.drop_in import DropIn
from retrieve_rerank.rerankers.llm.pair_prompts import PairPrompt
from retrieve_rerank.rerankers.llm.prompt_files import recorded_template
from retrieve_rerank.text.template import Template, readable

P = TypeVar("P", bound=PairPrompt)


class Pointwise(DropIn, Generic[P]):
    """A scorer that puts each text and the query into a prompt.

    `instruction` tells the model what is wanted, where the prompt has room for that; its own
    where None. `template` lays documents out; as the folder of `model` records it where None.
    """

    def __init__(
        self,
        *,
        model: str,
        model_fingerprint: str,
        prompt: P,
        instruction: str | None,
        template: Template | str | None,
    ) -> None:
        self.prompt = prompt
        self.instruction = instruction
        template = recorded_template(model) if template is None else template
        self.template = Template(template) if isinstance(template, str) else template
        self._model_fingerprint = model_fingerprint

    @property
    def fingerprint(self) -> str:
        """Of the model, the prompt and the instruction."""
        asked = hashlib.sha256(repr((self.prompt, self.instruction)).encode()).hexdigest()[:16]
        return f"{self._model_fingerprint} {asked}"

    def score(
        self, query: str, texts: Sequence[str], *, instruction: str | None = None
    ) -> list[float]:
        """Score each text against the query, higher is better; `instruction` is for this query.

        Raises InputError for a query that leaves no room for the texts, and ScoreError where the
        model gives no number.
        """
        return list(self._score(query, texts, instruction).scores)

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Score each text as `score` does, and tell which were not read to the end."""
        return self._score(query, texts, None)

    @abstractmethod
    def _ask(
        self, query: str, texts: Sequence[str], instruction: str | None
    ) -> Answers[Sequence[float]]:
        """Score texts, one at least, each different from the others."""

    def _score(self, query: str, texts: Sequence[str], instruction: str | None) -> TextScores:
        if not texts:
            return TextScores([])
        query, texts = readable(query), [readable(text) for text in texts]
        different = list(dict.fromkeys(texts))
        told = self.instruction if instruction is None else instruction
        answers = self._ask(query, different, told)
        if any(math.isnan(value) for value in answers.values):
            raise ScoreError(f"{self.name} gave NaN for a text; expected a number")
        places = {text: place for place, text in enumerate(different)}
        scores = [float(answers.values[places[text]]) for text in texts]
        return TextScores(scores, [bool(answers.truncated[places[text]]) for text in texts])
