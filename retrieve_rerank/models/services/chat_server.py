"""A language model behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama and others."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import InputError, ModelError, RequestError
from retrieve_rerank.models.language_model import Answers, Part, Piece, Prompt
from retrieve_rerank.models.services.completions import read_log_probabilities, read_text, request
from retrieve_rerank.models.services.http import JsonServer, read_url
from retrieve_rerank.network.shapes import WrongShapeError

T = TypeVar("T")

DEFAULT_MAX_TOKENS = 8192
"""For a server whose context is not given."""

_LEAST_DOCUMENT = 48  # bytes; one of which less could be read is not scored at all
_BYTES_A_TOKEN = 3.0  # English has 4 to 5, Chinese about 3: an estimate that errs on the safe side


class ChatServer:
    """A `LanguageModel` on a server; one may be shared by many threads.

    Its tokenizer is out of reach: lengths are estimated, at three bytes a token, and a word is
    found among the tokens that the server writes like it. Every failure is a ModelError.
    """

    def __init__(
        self,
        model: str,
        *,
        url: str,
        key: str | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        timeout_s: float = 60.0,
        extra: Mapping[str, Any] | None = None,
        kind: str = "openai",
        key_variable: str = "OPENAI_API_KEY",
        url_variable: str | None = "OPENAI_BASE_URL",
    ) -> None:
        """`url` ends before `/chat/completions`; `timeout_s` is for one attempt.

        `max_tokens` is the server's context. `extra` is sent with each request: models that think
        first are told not to, by vLLM and llama.cpp, with
        `{"chat_template_kwargs": {"enable_thinking": False}}`. The variables are what errors say
        can be set.
        """
        base = read_url(url, where=url_variable or "the URL")
        self._model = model
        self._kind = kind
        self._url = str(base)
        self._max_tokens = max_tokens
        self._extra = dict(extra or {})
        self._server = JsonServer(
            base,
            name=self.name,
            key=key,
            key_variable=key_variable,
            url_variable=url_variable,
            timeout_s=timeout_s,
        )

    def __repr__(self) -> str:
        return f"ChatServer({self.name!r}, {self._url!r})"

    @property
    def name(self) -> str:
        """How users call the model."""
        return f"{self._kind}:{self._model}"

    @property
    def fingerprint(self) -> str:
        """A hash over the model's name, its URL and settings, 16 hexadecimal digits.

        A model exchanged under the same name goes unnoticed.
        """
        facts = [self._kind, self._model, self._url, self._max_tokens, self._extra]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def max_tokens(self) -> int:
        """Tokens that prompt and answer can have together."""
        return self._max_tokens

    @property
    def tells_logits(self) -> bool:
        """False: a server tells log-probabilities."""
        return False

    def next_token_logits(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Return the log-probability of each word after each prompt; (n, words).

        Servers tell the likeliest tokens only. A word that is not among them gets the least of
        those told, which it cannot exceed; where none of the words is, it is a ModelError.
        """
        if len(set(words)) < len(words):
            raise InputError(f"each word must be another; got {', '.join(words)}")
        answers, truncated = self._ask_all(prompts, 1, log_probabilities=True)
        rows = [self._find(self._read(read_log_probabilities, answer), words) for answer in answers]
        shape = (len(prompts), len(words))
        return Answers(np.array(rows, dtype=np.float32).reshape(shape), truncated)

    def next_token_log_probabilities(
        self, prompts: Sequence[Prompt], words: Sequence[str]
    ) -> Answers[Vectors]:
        """Do as `next_token_logits`: what a server tells is over its whole vocabulary."""
        return self.next_token_logits(prompts, words)

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> Answers[list[str]]:
        """Continue each prompt greedily; a refusal is an empty text."""
        answers, truncated = self._ask_all(prompts, max_new_tokens, log_probabilities=False)
        texts = [
            self._read(partial(read_text, prompt), answer)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        return Answers(texts, truncated)

    def log_likelihoods(
        self, prompts: Sequence[Prompt], continuations: Sequence[str]
    ) -> Answers[list[Vectors]]:
        """Raise ModelError: chat servers do not tell how likely a given text is."""
        raise ModelError(
            f"{self.name} is behind a server, which does not tell how likely a given text is;"
            " run the model here, or let it generate"
        )

    def _ask_all(
        self, prompts: Sequence[Prompt], new_tokens: int, *, log_probabilities: bool
    ) -> tuple[list[Any], list[tuple[int, ...]]]:
        fitted = [self._fit(prompt, new_tokens) for prompt in prompts]
        settings = {"model": self._model, "max_tokens": new_tokens, "temperature": 0}

        requests = []
        for prompt, _ in fitted:
            path, body = request(prompt, log_probabilities=log_probabilities)
            requests.append((path, {**self._extra, **settings, **body}))
        return self._server.ask_all(requests), [truncated for _, truncated in fitted]

    def _fit(self, prompt: Prompt, new_tokens: int) -> tuple[Prompt, tuple[int, ...]]:
        """Shorten the longest documents until the prompt fits; say which were."""
        parts = [part for piece in prompt.pieces for part in piece.parts]
        lengths = [len(part.text.encode()) for part in parts if part.kind == "document"]
        fixed = sum(len(part.text.encode()) for part in parts if part.kind != "document")
        room = int((self._max_tokens - new_tokens) * _BYTES_A_TOKEN) - fixed
        if sum(lengths) <= room:
            return prompt, ()
        limit = _limit(lengths, room)
        if limit < _LEAST_DOCUMENT:
            raise InputError(
                f"the query and the instructions leave no room for documents in the"
                f" {self._max_tokens} tokens of {self.name}"
            )
        pieces = [
            Piece(tuple(_cut(part, limit) for part in piece.parts), piece.role)
            for piece in prompt.pieces
        ]
        cut = tuple(number for number, length in enumerate(lengths) if length > limit)
        return Prompt(tuple(pieces)), cut

    def _read(self, read: Callable[[Any], T], answer: Any) -> T:
        try:
            return read(answer)
        except WrongShapeError as exc:
            raise RequestError(
                f"{self.name} at {self._url} answered in another form than OpenAI-compatible"
                f" servers do: {exc}; check the URL, and that it"
                " tells log-probabilities where a method needs them"
            ) from exc

    def _find(self, told: Mapping[str, float], words: Sequence[str]) -> list[float]:
        stripped: dict[str, float] = {}
        for token, value in told.items():
            stripped[token.strip()] = max(value, stripped.get(token.strip(), -math.inf))
        found = [told.get(word, stripped.get(word.strip())) for word in words]
        if all(value is None for value in found):
            raise RequestError(
                f"none of {', '.join(words)} is among the {len(told)} likeliest answers of"
                f" {self.name}; likeliest: {', '.join(list(told)[:5])}. Does the prompt fit it?"
            )
        floor = min(told.values())
        return [floor if value is None else value for value in found]


def _limit(lengths: Sequence[int], room: int) -> int:
    """Find the most bytes that each text may keep so that all fit: the longest give first."""
    left = room
    for done, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - done)
        if length > share:
            return share
        left -= length
    return 0


def _cut(part: Part, limit: int) -> Part:
    if part.kind != "document":
        return part
    return part._replace(text=part.text.encode()[:limit].decode(errors="ignore"))
