"""Language models in training: prompts to hidden states, and losses over their tokens."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint as again

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.models.causal.vocabulary_head import VocabularyHead
from retrieve_rerank.models.loading import Checkpoint
from retrieve_rerank.models.tokenizers.prompts import MIN_DOCUMENT_TOKENS, PromptTokenizer
from retrieve_rerank.rerankers.llm.prompt_files import to_record
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.losses import Terms, difference, next_token
from retrieve_rerank.training.trainers.base import Base
from retrieve_rerank.training.trainers.decoders.base import check_marks, load_decoder
from retrieve_rerank.training.trainers.decoders.samples import Sample
from retrieve_rerank.training.trainers.network import Network, Outcome
from retrieve_rerank.training.trainers.objective import Objective
from retrieve_rerank.training.trainers.settings import TrainerSettings

_ROWS = 128  # tokens times the whole vocabulary at once, and again in the backward pass
_NO_ROOM = "query that leaves no room for a document"


class PromptNetwork(Network[Sample]):
    """A decoder or an encoder-decoder, padded on the right, where no token sees the padding.

    `prompt` is what the reranker asks when it serves, and what the saved folder records.
    """

    head: ClassVar[bool] = False
    """Whether a linear head reads the last state, in place of the vocabulary."""
    together: int = 1
    """How many texts it reads at once."""

    def __init__(
        self, checkpoint: Checkpoint, settings: TrainerSettings, objective: Objective
    ) -> None:
        self.prompt = self.choose_prompt(checkpoint, settings)
        base = self.load_base(checkpoint, settings)
        self._token_losses = objective.token_losses
        self._scored = objective.mixture is not None
        self._check_losses(objective)
        # The model that training starts from, before anything is trained or added.
        from_here = "difference" in self._token_losses
        self._reference = copy.deepcopy(base.network).eval() if from_here else None
        super().__init__(base, settings)
        self.tokenizer = PromptTokenizer(base.folder.path, config=self.network.config)
        if not settings.has_their_formats:  # which `rr train` notes
            check_marks(self.written(), self.tokenizer, name=base.name)
        unknown = {"whole-sequence", "difference"} & set(self._token_losses)
        if self.seq2seq and unknown:
            raise ConfigError(
                f"{base.name} is an encoder-decoder, which predicts no tokens of its prompt, as"
                f" {' and '.join(sorted(unknown))} would learn from; take next-token"
            )
        self.max_tokens = base.folder.max_tokens
        self._vocabulary = None if self.head else VocabularyHead(self.network)
        if not self.head:
            self.log_vocabulary = math.log(self.network.config.get_text_config().vocab_size)
        if self._reference is not None:
            self._reference = self._reference.to(self.device).requires_grad_(False)

    @abstractmethod
    def choose_prompt(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Any:
        """Return the settings' prompt, else the base's, else the form's; raise ConfigError."""

    def load_base(self, checkpoint: Checkpoint, settings: TrainerSettings) -> Base:
        """Load the network, and what its folder records."""
        most = getattr(self.prompt, "max_tokens", None)
        return load_decoder(checkpoint, settings, head=self.head, max_tokens=most)

    @abstractmethod
    def score(self, samples: Sequence[Sample], states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return each sample's scores, from its answer's states; (tokens, hidden)."""

    def first_tokens(self, words: Sequence[str]) -> list[int]:
        """Return the tokens that tell one answer from the others."""
        role, text = self.prompt.messages[-1]
        attached = role == "assistant" and not text[-1:].isspace()
        return self.tokenizer.first_tokens(words, attached=attached)

    def written(self) -> Sequence[str]:
        """Return the texts of the prompt in which special tokens may stand."""
        return [text for _, text in self.prompt.messages]

    @property
    def seq2seq(self) -> bool:
        """Whether an encoder reads the prompt."""
        return bool(getattr(self.network.config, "is_encoder_decoder", False))

    def recorded(self) -> Mapping[str, Any]:
        """Return the template and the prompt."""
        prompt = {**to_record(self.prompt)}
        if hasattr(self.prompt, "max_tokens"):
            prompt["max_tokens"] = self.max_tokens
        return {"template": self.base.folder.template.pattern, "prompt": prompt}

    def lacks(self, group: Group) -> str | None:
        """Say where a query leaves no room for a document."""
        count = min(self.together, max(len(group.texts), 1))
        long = "a " * 2 * MIN_DOCUMENT_TOKENS
        texts = tuple(GroupText(long, float(n == 0)) for n in range(count))
        try:
            self.read(Group(group.query, texts))
        except InputError:
            return _NO_ROOM
        return None

    def token_counts(self, sequences: Sequence[Sample]) -> Mapping[str, int]:
        """Return how many tokens each loss over tokens has in these."""
        taught = [sample for sample in sequences if sample.taught]
        return {
            "next-token": sum(len(sample.answer) for sample in taught),
            "whole-sequence": sum(len(sample.whole) - 1 for sample in taught),
            "difference": sum(len(sample.ids) for sample in sequences),
        }

    def forward(self, groups: Sequence[Sequence[Sample]]) -> Outcome:
        """Score what was read of some groups, and work out the losses over tokens."""
        samples = [sample for group in groups for sample in group]
        hidden = self.hidden(self.network, samples)  # (samples, tokens, hidden)
        answers = [
            states[_answer(s, self.seq2seq)] for s, states in zip(samples, hidden, strict=True)
        ]
        scores = torch.zeros(len(groups), max(map(len, groups)))
        if self._scored or not torch.is_grad_enabled():
            scored = self.score(samples, answers)
            rows = torch.split(torch.cat(list(scored)), _sizes(groups, scored))
            scores = pad_sequence(list(rows), batch_first=True).float().cpu()
        if not torch.is_grad_enabled():
            return Outcome(scores)
        return Outcome(scores, self._token_terms(samples, hidden, answers))

    def log_p(self, states: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return the log-probability of each state's token; (n, hidden) to (n,)."""
        head = self._vocabulary
        assert head is not None

        def part(its_states: Tensor, wanted: list[list[int]]) -> Tensor:
            return head.log_probabilities(its_states, wanted)[:, 0]

        parts = [
            _once_more(part, states[at : at + _ROWS], [[t] for t in tokens[at : at + _ROWS]])
            for at in range(0, len(tokens), _ROWS)
        ]
        return torch.cat(parts) if parts else states.new_zeros(0)

    def _check_losses(self, objective: Objective) -> None:
        wanted = set(objective.token_losses)
        if wanted and self.head:
            raise ConfigError(f"{self.reranker} says no tokens to learn {min(wanted)!r} from")

    def hidden(self, network: Any, samples: Sequence[Sample]) -> Tensor:
        """Return states, (samples, tokens, hidden): of all that is read, or of the answer alone."""
        decoder = network.get_decoder()
        with self.arithmetic():
            if not self.seq2seq:
                ids, _ = self.padded_ids([sample.ids for sample in samples])
                states: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
                return states
            ids, mask = self.padded_ids([sample.prompt for sample in samples])
            start = network.config.decoder_start_token_id
            begun, _ = self.padded_ids([[start, *sample.answer[:-1]] for sample in samples])
            encoded = network.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
            states = decoder(
                input_ids=begun,
                encoder_hidden_states=encoded,
                encoder_attention_mask=mask,
                use_cache=False,
            ).last_hidden_state
            return states

    def padded_ids(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return ids padded on the right, and where they are none; (rows, tokens)."""
        longest = max(map(len, rows))
        ids = [[*row, *[self.tokenizer.pad_id] * (longest - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _token_terms(
        self, samples: Sequence[Sample], hidden: Tensor, answers: Sequence[Tensor]
    ) -> Mapping[str, Terms]:
        taught = [n for n, sample in enumerate(samples) if sample.taught]
        terms = {}
        if "next-token" in self._token_losses:
            wanted = [samples[n].answer for n in taught]
            states = [answers[n][: len(row)] for n, row in zip(taught, wanted, strict=True)]
            terms["next-token"] = self._likelihood(states, wanted)
        if "whole-sequence" in self._token_losses:
            wanted = [samples[n].whole[1:] for n in taught]
            states = [hidden[n, : len(ids)] for n, ids in zip(taught, wanted, strict=True)]
            terms["whole-sequence"] = self._likelihood(states, wanted)
        if self._reference is not None:
            with torch.no_grad():
                frozen = self.hidden(self._reference, samples)
            ends = [len(sample.ids) for sample in samples]
            ours = torch.cat([hidden[n, :end] for n, end in enumerate(ends)])
            theirs = torch.cat([frozen[n, :end] for n, end in enumerate(ends)])
            terms["difference"] = self._difference(ours, theirs)
        return terms

    def _likelihood(self, states: Sequence[Tensor], wanted: Sequence[Sequence[int]]) -> Terms:
        """Return `next_token` of these tokens, a row for each sequence."""
        if not wanted:
            return _NONE
        log_p = self.log_p(torch.cat(list(states)), [token for row in wanted for token in row])
        rows = list(torch.split(log_p, [len(row) for row in wanted]))
        real = pad_sequence([torch.ones_like(row, dtype=torch.bool) for row in rows], True)
        return _on_cpu(next_token(pad_sequence(rows, True), real))

    def _difference(self, states: Tensor, reference: Tensor) -> Terms:
        """Return `difference` of tokens, each a row of its own; both are (tokens, hidden)."""
        ours, theirs = self._vocabulary, VocabularyHead(self._reference)
        assert ours is not None

        def part(its_states: Tensor, its_reference: Tensor) -> Tensor:
            log_p, frozen = ours.distributions(its_states), theirs.distributions(its_reference)
            real = torch.ones(len(log_p), 1, dtype=torch.bool, device=log_p.device)
            return difference(log_p[:, None], frozen[:, None], real).sums

        sums = [
            _once_more(part, states[at : at + _ROWS], reference[at : at + _ROWS])
            for at in range(0, len(states), _ROWS)
        ]
        return _on_cpu(Terms(torch.cat(sums), torch.ones(len(states))))


_NONE = Terms(torch.zeros(0), torch.zeros(0, dtype=torch.long))


def _answer(sample: Sample, seq2seq: bool) -> slice:
    """Return which states predict the answer; the prompt's last where there is none."""
    start = 0 if seq2seq else len(sample.prompt) - 1
    return slice(start, start + max(len(sample.answer), 1))


def _sizes(groups: Sequence[Sequence[Sample]], scored: Sequence[Tensor]) -> list[int]:
    """Return how many scores each group has; a sample may have several."""
    sizes, place = [], 0
    for group in groups:
        sizes.append(sum(len(each) for each in scored[place : place + len(group)]))
        place += len(group)
    return sizes


def _once_more(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Compute without keeping logits over the vocabulary, which the backward pass makes anew."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    found: Tensor = again(function, *inputs, use_reentrant=False)
    return found


def _on_cpu(terms: Terms) -> Terms:
    return Terms(terms.sums.float().cpu(), terms.counts.cpu())
