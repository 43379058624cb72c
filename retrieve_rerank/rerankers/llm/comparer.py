"""What rerankers that compare documents have in common: asking a model, and keeping count."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.errors import InputError, ScoreError
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.language_model import Answers, LanguageModel, Prompt
from retrieve_rerank.rerankers.llm.answers import read_choice, read_order
from retrieve_rerank.rerankers.llm.comparison_prompts import ComparisonPrompt, load_prompt
from retrieve_rerank.rerankers.llm.prompt_files import recorded_template
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Hit, rescore

T = TypeVar("T")

Group = Sequence[int]
"""Documents that are compared at once, as numbers from 0 in the incoming order."""

Scoring = Literal["likelihood", "generation"]

_ORDERS_NONE = "order no document"
_CHOOSES_NONE = "choose no document"

_CHOICE_TOKENS = 16
"""Room for "Passage A", and some words around it."""
_NAME_TOKENS = 8
"""Room for one name in a list: "[12] > " is at most six tokens in common vocabularies."""


def room_to_order(count: int) -> int:
    """Return how many tokens are kept for so many documents in order, where that is written."""
    return _NAME_TOKENS * (count + 1)


class Comparer(Reranker):
    """A reranker that compares documents with one another.

    Its scores say nothing outside their ranking. Equal documents keep their order, and one alone
    costs no question.
    """

    chooses: ClassVar[bool]
    """Whether it asks for the best of some documents, rather than for all in order."""
    prompts: ClassVar[Mapping[str, ComparisonPrompt]]
    """Those it knows by name; the first is for any chat model."""

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise ConfigError for a prompt that cannot be used."""
        model = str(options["model"])
        load_prompt(options.get("prompt"), cls.prompts, model=model, choices=cls.chooses)

    def __init__(
        self,
        model: LanguageModel | str,
        *,
        prompt: ComparisonPrompt | Mapping[str, Any] | Path | str | None,
        template: Template | str | None,
        device: str,
        max_tokens: int | None,
    ) -> None:
        if isinstance(model, str):
            model = load_language_model(model, device=device, max_tokens=max_tokens)
        self.model = model
        self.prompt = load_prompt(prompt, self.prompts, model=model.name, choices=self.chooses)
        template = recorded_template(model.name) if template is None else template
        self.template = Template(template) if isinstance(template, str) else template

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Order the hits; report texts that were not read whole, and answers that misled."""
        texts = [self.template.render(hit.document) for hit in hits]
        questions = Questions(self.model, self.prompt, query, texts)
        scores = self._scores(questions) if len(hits) > 1 else [0.0] * len(hits)
        notes = (*self.template.notes(hit.document for hit in hits), *questions.notes)
        return RerankResult(
            rescore(hits, scores),
            len(questions.truncated),
            notes=notes,
            unread=questions.unread,
        )

    @abstractmethod
    def _scores(self, questions: Questions) -> list[float]:
        """Score the documents, of which there are two at least."""

    def _scoring(self, wanted: Scoring | None) -> Scoring:
        """Take likelihoods unless told otherwise, or the model is behind a server.

        There only those of an answer's first token are known.
        """
        if wanted not in (None, *get_args(Scoring)):
            raise InputError(f'scoring must be "likelihood" or "generation"; got {wanted!r}')
        known = self.model.tells_logits or self.prompt.first_token
        return wanted or ("likelihood" if known else "generation")


class Questions:
    """What is asked about one query's documents, and what came of it."""

    def __init__(
        self, model: LanguageModel, prompt: ComparisonPrompt, query: str, texts: Sequence[str]
    ) -> None:
        self.count = len(texts)
        self.truncated: set[int] = set()
        """Documents of which the model read only the beginning, in any prompt."""
        self._model = model
        self._prompt = prompt
        self._query = query
        self._texts = texts
        self._asked = 0
        self._flaws: Counter[str] = Counter()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was wrong with the answers, a sentence each."""
        return tuple(f"{n} of {self._asked} answers {flaw}" for flaw, n in self._flaws.items())

    @property
    def unread(self) -> int:
        """How many answers say nothing."""
        return self._flaws[_ORDERS_NONE] + self._flaws[_CHOOSES_NONE]

    def votes(self, groups: Sequence[Group], scoring: Scoring) -> list[list[float]]:
        """Ask for the best of each group; return each answer's share of the vote.

        By the likelihood of each possible answer, or by what the model writes: then all of the
        vote is for one, or shared equally where the answer cannot be read.
        """
        if scoring == "likelihood":
            return [_softmax(row) for row in self._log_likelihoods(groups)]

        def written(asked: Mapping[Prompt, Group]) -> Answers[list[list[float]]]:
            found = self._model.generate(list(asked), max_new_tokens=_CHOICE_TOKENS)
            answers = zip(found.values, asked.values(), strict=True)
            votes = [self._read_vote(text, group) for text, group in answers]
            return Answers(votes, found.truncated)

        return self._ask(groups, written)

    def order(self, group: Group, *, by_first_token: bool) -> list[int]:
        """Ask for the order of a group, best first.

        By the likelihood that the answer begins with each member's name, or by what is written.
        """
        if by_first_token:
            [row] = self._log_likelihoods([group])
            return sorted(group, key=lambda item: -row[group.index(item)])
        room = room_to_order(len(group))
        [answer] = self._ask(
            [group], lambda asked: self._model.generate(list(asked), max_new_tokens=room)
        )
        order = read_order(answer, self._prompt.names[: len(group)])
        refused = order.missing == len(group)
        self._flaws += Counter(
            {
                _ORDERS_NONE: refused,
                "leave documents out": bool(order.missing) and not refused,
                "name a document twice": bool(order.repeated),
                "name documents that do not exist": bool(order.unknown),
            }
        )
        return [group[position] for position in order.positions]

    def _read_vote(self, text: str, group: Group) -> list[float]:
        answers = self._answers(group)
        chosen = read_choice(text, answers)
        if chosen is None:
            self._flaws[_CHOOSES_NONE] += 1
            return [1.0 / len(answers)] * len(answers)
        return [float(number == chosen) for number in range(len(answers))]

    def _answers(self, group: Group) -> Sequence[str]:
        return self._prompt.answers[: len(group)]

    def _log_likelihoods(self, groups: Sequence[Group]) -> list[list[float]]:
        """Return the log-likelihood of each possible answer, but for a constant in each group."""

        def tokens(asked: Mapping[Prompt, Group]) -> Answers[list[list[float]]]:
            words = max((self._answers(group) for group in asked.values()), key=len)
            found = self._model.next_token_logits(list(asked), words)
            rows = zip(found.values.tolist(), asked.values(), strict=True)
            return Answers([row[: len(group)] for row, group in rows], found.truncated)

        def continuations(asked: Mapping[Prompt, Group]) -> Answers[list[list[float]]]:
            pairs = [(p, answer) for p, group in asked.items() for answer in self._answers(group)]
            found = self._model.log_likelihoods([p for p, _ in pairs], [a for _, a in pairs])
            rows: dict[Prompt, list[float]] = {prompt: [] for prompt in asked}
            for (prompt, _), steps in zip(pairs, found.values, strict=True):
                rows[prompt].append(math.fsum(steps.tolist()))
            cut = {prompt: t for (prompt, _), t in zip(pairs, found.truncated, strict=True)}
            return Answers(list(rows.values()), [cut[prompt] for prompt in asked])

        rows = self._ask(groups, tokens if self._prompt.first_token else continuations)
        if any(math.isnan(value) for row in rows for value in row):
            raise ScoreError(f"{self._model.name} gives NaN as the likelihood of an answer")
        return rows

    def _ask(
        self, groups: Sequence[Group], ask: Callable[[Mapping[Prompt, Group]], Answers[list[T]]]
    ) -> list[T]:
        """Ask about each group, once where the prompts are equal."""
        prompts = [
            self._prompt.render(self._query, [self._texts[item] for item in group])
            for group in groups
        ]
        asked = dict(zip(prompts, groups, strict=True))
        answers = ask(asked)
        self._asked += len(asked)
        values = dict(zip(asked, answers.values, strict=True))
        truncated = dict(zip(asked, answers.truncated, strict=True))
        for prompt, group in zip(prompts, groups, strict=True):
            self.truncated.update(group[n] for n in truncated[prompt])
        return [values[prompt] for prompt in prompts]


def _softmax(row: Sequence[float]) -> list[float]:
    highest = max(row)
    weights = [math.exp(value - highest) for value in row]
    return [weight / math.fsum(weights) for weight in weights]
