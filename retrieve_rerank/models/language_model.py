"""What a language model can be asked, whether it runs here or behind a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from retrieve_rerank.base import Vectors

T = TypeVar("T")

PartKind = Literal["frame", "query", "document"]
Role = Literal["system", "user", "assistant"]


class Part(NamedTuple):
    """Some text of a prompt, and how far it is trusted.

    A "frame" is the template's own: special tokens written in it are special tokens. In a
    "query" or a "document" they are only text. Documents alone are shortened where the prompt
    is too long for the model.
    """

    text: str
    kind: PartKind = "frame"


class Piece(NamedTuple):
    """Parts that are tokenised together, apart from other pieces; or what one role says."""

    parts: tuple[Part, ...]
    role: Role | None = None


class Prompt(NamedTuple):
    """What a model reads.

    Either no piece has a role, and the model reads them one after another, after what its
    tokenizer puts before every text; or each has one, and the model's own chat template writes
    the prompt. A last piece of the assistant is the beginning of the answer.
    """

    pieces: tuple[Piece, ...]


class Answers(NamedTuple, Generic[T]):
    """One value for each prompt, in their order, and what the model did not read of them."""

    values: T
    truncated: Sequence[tuple[int, ...]]
    """For each prompt the numbers (from 0, in the order of the prompt) of its documents of
    which the model read only the beginning."""


class LanguageModel(Protocol):
    """A causal or sequence-to-sequence model; one may be shared by many threads.

    An answer depends on its prompt alone, whatever the others. Prompts that begin alike are
    cheaper in one call than in several. Every method raises InputError for a prompt that leaves
    no room for its documents, and ModelError where the model fails.
    """

    @property
    def name(self) -> str:
        """How users call the model."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the answers would."""

    @property
    def max_tokens(self) -> int:
        """Tokens that prompt and answer can have together."""

    @property
    def tells_logits(self) -> bool:
        """Whether `next_token_logits` are comparable between prompts.

        Behind a server they are log-probabilities: the same but for one number a prompt.
        """

    def next_token_logits(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Return the logits, right after each prompt, of each word's first token; (n, words).

        Raises InputError where two words begin with the same token.
        """

    def next_token_log_probabilities(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Return log-probabilities over the whole vocabulary; else as `next_token_logits`."""

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> Answers[list[str]]:
        """Continue each prompt greedily by at most so many tokens, special ones left out."""

    def log_likelihoods(
        self, prompts: Sequence[Prompt], continuations: Sequence[str]
    ) -> Answers[list[Vectors]]:
        """Return the log-probability of each token of each prompt's continuation; (tokens,)."""
