"""Decoders that look at one text at a time: yes or no, a linear head, the query's likelihood."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.language_model import Answers, Part, Piece, Prompt
from retrieve_rerank.models.loading import Checkpoint
from retrieve_rerank.models.runtimes.fitting import run_fitting
from retrieve_rerank.models.tokenizers.prompts import PromptTokens
from retrieve_rerank.rerankers.llm.pair_prompts import (
    LikelihoodPrompt,
    PairPrompt,
    YesNoPrompt,
    load_prompt,
)
from retrieve_rerank.rerankers.llm.pointwise import Pointwise
from retrieve_rerank.rerankers.llm.prompt_files import published, recorded
from retrieve_rerank.rerankers.llm.published_prompts import (
    LIKELIHOOD,
    SCALAR,
    YES_NO,
    load_scalar_prompt,
    rag_retrieval,
)
from retrieve_rerank.text.template import readable
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.trainers.decoders.prompt_network import PromptNetwork
from retrieve_rerank.training.trainers.decoders.samples import Sample
from retrieve_rerank.training.trainers.objective import Objective
from retrieve_rerank.training.trainers.settings import TrainerSettings

P = TypeVar("P", bound=PairPrompt)


class PointwiseNetwork(PromptNetwork, Generic[P]):
    """A network that reads a prompt for each text."""

    prompt: P
    kind: ClassVar[type[PairPrompt]]
    known: ClassVar[Mapping[str, PairPrompt]]
    plain: ClassVar[PairPrompt]
    """What is read where neither settings nor checkpoint say anything."""

    def choose_prompt(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Any:
        """Return the settings' prompt, else the checkpoint's, else the plain one."""
        name, wanted = checkpoint.name, settings.prompt
        if wanted is None and not recorded(name).get("prompt") and not published(self.known, name):
            return self.plain
        return self.load_prompt(wanted, model=name)

    def load_prompt(self, prompt: Any, *, model: str) -> Any:
        """Return a prompt as the reranker makes it of its option."""
        return load_prompt(prompt, self.known, self.kind, model=model)

    def read(self, group: Group) -> list[Sample]:
        """Tokenise what the reranker asks about each text."""
        query = readable(group.query)
        texts = [text for text in group.texts if self._scored or self.teaches(text)]
        prompts = [self.prompt.render(query, readable(text.text)) for text in texts]
        return [
            self.sample(encoded, text, query)
            for encoded, text in zip(self.encode(query, prompts), texts, strict=True)
        ]

    def encode(self, query: str, prompts: Sequence[Prompt]) -> list[PromptTokens]:
        """Tokenise prompts, with what follows them."""
        return self.tokenizer.encode(prompts, max_tokens=self.max_tokens, ended=self.seq2seq)

    def teaches(self, text: GroupText) -> bool:
        """Whether losses over tokens learn from a text."""
        return bool(self._token_losses) and text.label is not None

    def sample(self, encoded: PromptTokens, text: GroupText, query: str) -> Sample:
        """Make a sample of a tokenised prompt about a text."""
        return Sample(encoded.ids, [], truncated=encoded.truncated)

    def scorer(self) -> Pointwise[PairPrompt]:
        """Make a `Scorer` of the network as it is now; it follows the network's training."""
        return _InTraining(self)


class YesNoNetwork(PointwiseNetwork[YesNoPrompt]):
    """A language model whose next token says whether the text is relevant."""

    reranker = "llm-yes-no"
    kind = YesNoPrompt
    known = YES_NO
    plain = YES_NO["monot5"]

    def __init__(
        self, checkpoint: Checkpoint, settings: TrainerSettings, objective: Objective
    ) -> None:
        super().__init__(checkpoint, settings, objective)
        no = [] if self.prompt.no is None else [self.prompt.no]
        self.words = self.first_tokens([self.prompt.yes, *no])

    def choose_prompt(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Any:
        """Return a prompt whose score is a logit or a difference of two."""
        prompt = super().choose_prompt(checkpoint, settings)
        if prompt.score not in ("log-odds", "logit"):
            raise ConfigError(
                f"the prompt's score is {prompt.score!r}; training takes 'log-odds', whose order"
                " is that of 'softmax', or 'logit'"
            )
        return prompt

    def written(self) -> Sequence[str]:
        """Return the prompt's texts, and the words of the answer."""
        return [*super().written(), *filter(None, (self.prompt.yes, self.prompt.no))]

    def sample(self, encoded: PromptTokens, text: GroupText, query: str) -> Sample:
        """Answer yes where the text is relevant."""
        answer = self.words[0] if (text.label or 0) > 0 else self.words[-1]
        return Sample(encoded.ids, [answer], self.teaches(text), encoded.truncated)

    def score(self, samples: Sequence[Sample], states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return yes's logit, less no's where the prompt says so."""
        assert self._vocabulary is not None
        logits = self._vocabulary.logits(torch.cat(list(states)), self.words)  # (n, words)
        scores = logits[:, 0] - logits[:, 1] if self.prompt.score == "log-odds" else logits[:, 0]
        return torch.split(scores, 1)


class ScalarHeadNetwork(PointwiseNetwork[PairPrompt]):
    """A decoder with a linear head on its last token's state."""

    reranker = "llm-scalar-head"
    head = True
    kind = PairPrompt
    known = SCALAR
    plain = rag_retrieval()

    def load_prompt(self, prompt: Any, *, model: str) -> Any:
        """Return a prompt, of RAG-Retrieval's settings too."""
        return load_scalar_prompt(prompt, model=model)

    def score(self, samples: Sequence[Sample], states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the head's output."""
        scores = self.network.score(torch.cat(list(states)).float())[:, 0]
        return torch.split(scores, 1)


class LikelihoodNetwork(PointwiseNetwork[LikelihoodPrompt]):
    """A language model that says how likely the query is after the text."""

    reranker = "llm-query-likelihood"
    kind = LikelihoodPrompt
    known = LIKELIHOOD
    plain = LIKELIHOOD["rankinggpt"]

    def __init__(
        self, checkpoint: Checkpoint, settings: TrainerSettings, objective: Objective
    ) -> None:
        super().__init__(checkpoint, settings, objective)
        self.mean_log_p = self.prompt.aggregate == "mean"
        self.reads_all = self._scored

    def encode(self, query: str, prompts: Sequence[Prompt]) -> list[PromptTokens]:
        """Tokenise prompts and the query after them."""
        if not self.seq2seq:
            return self.tokenizer.encode(
                prompts, max_tokens=self.max_tokens, continuations=[query] * len(prompts)
            )
        return super().encode(query, prompts)

    def teaches(self, text: GroupText) -> bool:
        """Whether the query is what should be said of a text."""
        return bool(self._token_losses) and (text.label or 0) > 0

    def sample(self, encoded: PromptTokens, text: GroupText, query: str) -> Sample:
        """Answer with the query, of which an encoder-decoder's is a text with its end."""
        end = len(encoded.ids) - encoded.continued
        answer = encoded.ids[end:]
        if self.seq2seq:
            alone = Prompt((Piece((Part(query, "query"),)),))
            [whole] = self.tokenizer.encode([alone], max_tokens=self.max_tokens, ended=True)
            answer = whole.ids
        return Sample(encoded.ids[:end], answer, self.teaches(text), encoded.truncated)

    def score(self, samples: Sequence[Sample], states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the mean, or the sum, of the log-probabilities of the query's tokens."""
        sizes = [len(sample.answer) for sample in samples]
        wanted = torch.cat([each[:size] for each, size in zip(states, sizes, strict=True)])
        tokens = [token for sample in samples for token in sample.answer]
        sums = [row.sum()[None] for row in torch.split(self.log_p(wanted, tokens), sizes)]
        if self.prompt.aggregate == "sum":
            return sums
        # an empty query has no token
        return [each / max(size, 1) for each, size in zip(sums, sizes, strict=True)]


class _InTraining(Pointwise[PairPrompt]):
    """Scores as the network in training does, without a gradient."""

    def __init__(self, network: PointwiseNetwork[Any]) -> None:
        super().__init__(
            model=network.base.name,
            model_fingerprint=secrets.token_hex(8),  # no cache may know it
            prompt=network.prompt,
            instruction=None,
            template=network.base.folder.template,
        )
        self.name = f"{network.reranker} in training"
        self._network = network

    def _ask(
        self, query: str, texts: Sequence[str], instruction: str | None
    ) -> Answers[Sequence[float]]:
        samples = self._network.read(Group(query, tuple(GroupText(text, 1.0) for text in texts)))

        def run(group: list[int]) -> list[float]:
            outcome = self._network.forward([[samples[place]] for place in group])
            return [float(score) for score in outcome.scores[:, 0]]

        scores = [0.0] * len(samples)
        lengths = [len(sample.ids) for sample in samples]
        with torch.no_grad():
            for place, score in run_fitting(lengths, run, budget=self._network.token_budget):
                scores[place] = score
        return Answers(scores, [sample.truncated for sample in samples])
