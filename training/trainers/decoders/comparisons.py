"""Language models that compare texts: which of two is better, and a list in order."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any, ClassVar

import torch
from torch import Tensor

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.models.causal.torch_language_model import TorchLanguageModel
from retrieve_rerank.models.loading import Checkpoint
from retrieve_rerank.models.tokenizers.prompts import PromptTokens
from retrieve_rerank.rerankers.llm.comparer import Comparer, room_to_order
from retrieve_rerank.rerankers.llm.comparison_prompts import ComparisonPrompt, load_prompt
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.prompt_files import published, recorded
from retrieve_rerank.rerankers.llm.published_comparisons import LISTWISE, PAIRWISE
from retrieve_rerank.text.template import Template, readable
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.losses import pad
from retrieve_rerank.training.losses.pointwise import bce, mse
from retrieve_rerank.training.trainers.decoders.prompt_network import PromptNetwork
from retrieve_rerank.training.trainers.decoders.samples import Sample
from retrieve_rerank.training.trainers.objective import Objective
from retrieve_rerank.training.trainers.settings import TrainerSettings
from retrieve_rerank.types import Document, Hit


class ComparisonNetwork(PromptNetwork):
    """A network that reads several texts in one prompt."""

    texts_alone = False
    prompt: ComparisonPrompt
    comparer: ClassVar[type[Comparer]]
    plain: ClassVar[ComparisonPrompt]
    """What is read where neither settings nor checkpoint say anything."""

    def choose_prompt(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Any:
        """Return the settings' prompt, else the checkpoint's, else the plain one."""
        name, wanted, known = checkpoint.name, settings.prompt, self.comparer.prompts
        if wanted is None and not recorded(name).get("prompt") and not published(known, name):
            return self.plain
        return load_prompt(wanted, known, model=name, choices=self.comparer.chooses)

    def scorer(self) -> Scorer:
        """Make a `Scorer` of the places that the reranker gives, as the network is now."""
        if self._scorer is None:
            # Made once, as it hooks itself into the last layer.
            self._scorer = _Places(self)
        return self._scorer

    _scorer: Scorer | None = None

    def encode(self, query: str, texts: Sequence[GroupText]) -> PromptTokens:
        """Tokenise a question about some texts, up to where the answer begins."""
        return self.tokenizer.encode(
            [self.prompt.render(query, [readable(text.text) for text in texts])],
            max_tokens=self.max_tokens - (0 if self.seq2seq else self.room(len(texts))),
            ended=self.seq2seq,
        )[0]

    def room(self, count: int) -> int:
        """Return how many tokens the reranker keeps for its answer about so many texts."""
        return 0


class PairwiseNetwork(ComparisonNetwork):
    """Which of two texts is better, asked in both orders; a score is the first's log-odds."""

    reranker = "llm-pairwise"
    comparer = Pairwise
    plain = PAIRWISE["duo-t5"]
    together = 2

    def __init__(
        self, checkpoint: Checkpoint, settings: TrainerSettings, objective: Objective
    ) -> None:
        super().__init__(checkpoint, settings, objective)
        self.words = self.first_tokens(self.prompt.answers[:2])

    def choose_prompt(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Any:
        """Return a prompt whose answers differ in their first token."""
        prompt = super().choose_prompt(checkpoint, settings)
        if not prompt.first_token:
            raise ConfigError(
                f"the answers {', '.join(prompt.answers[:2])} do not differ in their first token;"
                " training takes duo-t5, or a prompt of yours with first_token = true"
            )
        return prompt

    def targets(
        self, groups: Sequence[Group], objective: Objective
    ) -> tuple[Tensor, Tensor | None]:
        """Return 1 for each pair whose first text is better, 0 for the others."""
        return pad([[float(_better(*pair)) for pair in _pairs(group)] for group in groups]), None

    def read(self, group: Group) -> list[Sample]:
        """Tokenise a question for each two texts of different labels, in both orders."""
        query, words = readable(group.query), self.words
        samples = []
        for pair in _pairs(group):
            encoded = self.encode(query, pair)
            answer = words[0] if _better(*pair) else words[1]
            taught = bool(self._token_losses)
            samples.append(Sample(encoded.ids, [answer], taught, encoded.truncated))
        return samples

    def score(self, samples: Sequence[Sample], states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return how much likelier the answer is that the first text is better."""
        assert self._vocabulary is not None
        logits = self._vocabulary.logits(torch.cat(list(states)), self.words)  # (n, 2)
        return torch.split(logits[:, 0] - logits[:, 1], 1)

    def _check_losses(self, objective: Objective) -> None:
        super()._check_losses(objective)
        if any(part.loss not in (bce, mse) for part in objective.parts):
            raise ConfigError(
                f"{objective} is no loss of {self.reranker}, which learns one answer for each two"
                " texts; take bce, mse or next-token"
            )


class ListwiseNetwork(ComparisonNetwork):
    """A list in order: written, or by the likelihood of each name as the answer's first token.

    `next-token` learns to write the order (permutation SFT: Pradeep et al.,
    https://arxiv.org/abs/2312.02724), losses of scores learn from the first token's logits, and
    both together is what FIRST does (https://arxiv.org/abs/2406.15657, eq. 3).
    """

    reranker = "llm-listwise"
    comparer = Listwise
    plain = LISTWISE["first"]

    def __init__(
        self, checkpoint: Checkpoint, settings: TrainerSettings, objective: Objective
    ) -> None:
        super().__init__(checkpoint, settings, objective)
        if settings.group_size > self.prompt.most:
            raise ConfigError(
                f"group_size is {settings.group_size}; the prompt has names for {self.prompt.most}"
            )
        self.together = settings.group_size
        self._most = self.max_tokens
        if self.prompt.first_token:
            self.first_tokens(self.prompt.answers[: self.together])  # which must differ
            self._make_room()

    def read(self, group: Group) -> list[Sample]:
        """Tokenise the question about all texts, in their order, and the answer."""
        prompt, texts = self.prompt, group.texts
        names = prompt.names[: len(texts)]
        best_first = sorted(range(len(texts)), key=lambda place: -(texts[place].label or 0.0))
        order = [names[place] for place in best_first]
        encoded = self.encode(readable(group.query), texts)
        # An order by a teacher's scores alone is none that could be written.
        taught = bool(self._token_losses) and all(text.label is not None for text in texts)
        if prompt.first_token and not taught:
            words = self.first_tokens(prompt.answers[: len(texts)])
            return [Sample(encoded.ids, [words[0]], False, encoded.truncated, words)]
        if prompt.first_token:
            words = self.first_tokens(prompt.answers[: len(texts)])
            joint = "] > [" if prompt.messages[-1][1].endswith("[") else " > "
            rest = joint + joint.join(order[1:]) + joint.partition(" ")[0]
            answer = [words[best_first[0]], *self.tokenizer.tokens(rest.rstrip())]
        else:
            words = []
            answer = self.tokenizer.tokens(" > ".join(f"[{name}]" for name in order))
        answer = [*answer, *self.tokenizer.end]
        length = len(encoded.ids) + len(answer)
        if not self.seq2seq and length > self._most:
            raise InputError(
                f"{len(texts)} texts and their order have {length:,} tokens;"
                f" the model reads {self._most:,}: lower group_size, or raise max_tokens"
            )
        return [Sample(encoded.ids, answer, taught, encoded.truncated, words)]

    def score(self, samples: Sequence[Sample], states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the logits of the names, one for each text."""
        assert self._vocabulary is not None
        return [
            self._vocabulary.logits(each[:1], sample.words)[0]
            for sample, each in zip(samples, states, strict=True)
        ]

    def room(self, count: int) -> int:
        """Return what the written order takes; of one that its first token tells, none is."""
        return 0 if self.prompt.first_token else room_to_order(count)

    def _make_room(self) -> None:
        """Let the order that is learnt stand after prompts of all tokens that the reranker reads,
        which writes none: beyond the network's positions there is no room, and prompts are shorter.
        """
        room = room_to_order(self.together) if self._token_losses else 0
        config = self.network.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None) or self.max_tokens + room
        self.max_tokens = min(self.max_tokens, positions - room)
        self._most = self.max_tokens + room
        folder = replace(self.base.folder, max_tokens=self.max_tokens)
        self.base = replace(self.base, folder=folder)

    def _check_losses(self, objective: Objective) -> None:
        super()._check_losses(objective)
        if objective.parts and not self.prompt.first_token:
            raise ConfigError(
                f"{objective} learns from the likelihood of an answer's first token, by which this"
                " prompt does not tell texts apart: take prompt: first, or loss: next-token"
            )


class _Places(Scorer):
    """The places that a reranker gives, counted down, so that higher is better."""

    def __init__(self, network: ComparisonNetwork) -> None:
        self.name = f"{network.reranker} in training"
        model = TorchLanguageModel(
            network.network,
            network.tokenizer,
            name=network.base.name,
            fingerprint=secrets.token_hex(8),  # no cache may know it
            max_tokens=network.max_tokens,
            budget=network.token_budget,
        )
        made: Any = network.comparer  # whose subclasses have defaults for the rest
        self._comparer: Comparer = made(model, prompt=network.prompt, template=Template())

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text by its place: 0 for the first, then -1, …."""
        hits = [Hit(Document(str(n), text), 0.0, n + 1) for n, text in enumerate(texts)]
        with torch.no_grad():
            result = self._comparer.rerank(query, hits)
        ranks = {hit.document.id: hit.rank for hit in result.hits}
        return [1.0 - ranks[str(n)] for n in range(len(texts))]


def _pairs(group: Group) -> list[tuple[GroupText, GroupText]]:
    """Return each two texts of different labels, in both orders."""
    return [pair for pair in permutations(group.texts, 2) if pair[0].label != pair[1].label]


def _better(first: GroupText, second: GroupText) -> bool:
    return (first.label or 0.0) > (second.label or 0.0)
