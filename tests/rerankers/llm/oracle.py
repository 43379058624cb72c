"""A language model that answers by what it knows of documents, and remembers its prompts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.models.language_model import Answers, Prompt


def documents(prompt: Prompt) -> list[str]:
    return [p.text for piece in prompt.pieces for p in piece.parts if p.kind == "document"]


def worth(text: str) -> int:
    """The number that a document holds; 0 without one."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


@dataclass
class Oracle:
    """Prefers documents with larger numbers, in every way that it can be asked.

    `values` says how it sees documents instead; `write` what it writes.
    """

    values: Callable[[Sequence[str]], Sequence[float]] = lambda texts: [worth(t) for t in texts]
    write: Callable[[Sequence[str]], str] | None = None
    tells_logits: bool = True
    name: str = "oracle"
    fingerprint: str = "0"
    max_tokens: int = 4096
    prompts: list[Prompt] = field(default_factory=list)
    room: int = 0
    """Tokens that the last answer could have."""

    def next_token_logits(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        rows = [self._values(prompt) for prompt in prompts]
        assert all(len(row) <= len(words) for row in rows)
        filled = [row + [-99.0] * (len(words) - len(row)) for row in rows]
        return Answers(np.array(filled, dtype=np.float32), [()] * len(prompts))

    def next_token_log_probabilities(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        return self.next_token_logits(prompts, words)

    def log_likelihoods(
        self, prompts: Sequence[Prompt], continuations: Sequence[str]
    ) -> Answers[list[Vectors]]:
        found = []
        for prompt, continuation in zip(prompts, continuations, strict=True):
            value = self._values(prompt)["ABCDEFGH".index(continuation[-1])]
            found.append(np.array([-1.0, value], dtype=np.float32))
        return Answers(found, [()] * len(prompts))

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> Answers[list[str]]:
        self.room = max_new_tokens
        self.prompts += prompts
        written = [(self.write or _list)(documents(prompt)) for prompt in prompts]
        return Answers(written, [()] * len(prompts))

    def _values(self, prompt: Prompt) -> list[float]:
        self.prompts.append(prompt)
        return [float(value) for value in self.values(documents(prompt))]


def _list(texts: Sequence[str]) -> str:
    best = sorted(range(len(texts)), key=lambda i: -worth(texts[i]))
    return " > ".join(f"[{i + 1}]" for i in best)


def choose(texts: Sequence[str]) -> str:
    """Write which passage is the best."""
    return f"Passage {'ABCDEFGH'[max(range(len(texts)), key=lambda i: worth(texts[i]))]}"
