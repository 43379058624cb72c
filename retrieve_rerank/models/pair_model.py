"""Pairs of texts to scores, as cross-encoders do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import InputError, ModelError, ScoreError
from retrieve_rerank.models.checkpoints.folder import ModelFolder
from retrieve_rerank.models.checkpoints.labels import LabelScore
from retrieve_rerank.models.runtimes.batching import Tokens
from retrieve_rerank.models.runtimes.engine import Backend, run_all
from retrieve_rerank.models.tokenizers.texts import TextTokenizer
from retrieve_rerank.text.template import Template

Run: TypeAlias = Callable[[Sequence[Tokens]], Iterable[tuple[int, Vectors]]]
"""What takes sequences through a network: index -> its output, in any order."""


class PairScores(NamedTuple):
    """One score for each pair, and what was too long to be read whole."""

    scores: Vectors  # (n,), raw logits, higher is more relevant
    pairs_truncated: Sequence[bool]
    query_truncated: bool
    """Whether the query of any pair was."""

    @property
    def truncated(self) -> int:
        """How many pairs were not read whole."""
        return sum(self.pairs_truncated)


class PairModel:
    """A loaded cross-encoder; one may be shared by many threads."""

    def __init__(
        self,
        *,
        name: str,
        fingerprint: str,
        folder: ModelFolder,
        tokenizer: TextTokenizer,
        backend: Backend,
        label_score: LabelScore,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.folder = folder
        self.backend = backend
        self.label_score = label_score
        self.run: Run = partial(run_all, backend, pad_id=tokenizer.pad_id)
        """May be replaced, by what runs the pairs of several callers together."""
        self._tokenizer = tokenizer

    def __repr__(self) -> str:
        return f"PairModel({self.name!r}, {self.backend.description!r})"

    @property
    def max_tokens(self) -> int:
        """Tokens the model reads of query and text together, special tokens included."""
        return self._tokenizer.max_tokens

    @property
    def template(self) -> Template:
        """What the model was trained to read of a document."""
        return self.folder.template

    @property
    def pad_id(self) -> int:
        """The token that fills a batch up."""
        return self._tokenizer.pad_id

    def tokenize(self, pairs: Sequence[tuple[str, str]]) -> list[Tokens]:
        """Tokenise each (query, text) as the model reads it."""
        prompt = self.folder.pair_prompt
        return self._tokenizer.encode_pairs([(prompt + query, text) for query, text in pairs])

    def score(self, pairs: Sequence[tuple[str, str]]) -> PairScores:
        """Score each (query, text); a score depends on its pair alone, whatever the others.

        Raises ScoreError where the model gives NaN or infinity.
        """
        sequences = self.tokenize(pairs)
        logits = np.empty((len(pairs), self.folder.labels or 1), dtype=np.float32)
        for index, row in self.run(sequences):
            if row.shape != logits.shape[1:]:
                raise ModelError(
                    f"the network of {self.name} gives {row.shape[-1]:,} numbers for a pair;"
                    f" expected {logits.shape[1]:,}, as its config.json has labels"
                )
            logits[index] = row
        scores = self.label_score(logits)
        unusable = np.flatnonzero(~np.isfinite(scores))
        if unusable.size:
            raise ScoreError(
                f"{self.name} gave text {unusable[0] + 1} of {len(pairs)} the score"
                f" {scores[unusable[0]]}; expected a number"
            )
        return PairScores(
            scores,
            [sequence.truncated for sequence in sequences],
            any(sequence.first_truncated for sequence in sequences),
        )

    def passages(self, query: str, text: str, *, overlap: int = 32) -> list[str]:
        """Split a text into passages that the model can read whole beside this query.

        Passages begin with a word, where words are shorter than a passage, and share about
        `overlap` tokens with the one before. A text that fits is returned as it is.
        """
        if overlap < 0:
            raise InputError(f"overlap must be at least 0 tokens; got {overlap}")
        return self._tokenizer.split(text, beside=self.folder.pair_prompt + query, overlap=overlap)
