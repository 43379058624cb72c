"""Texts to vectors: an encoder's pooled vector and its tokens' vectors, from one forward pass.

Knows nothing of files, libraries or devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.models.backend import Backend, run_all
from retrieve_rerank.models.folder import ModelFolder
from retrieve_rerank.models.pooling import pool, unit_rows
from retrieve_rerank.models.tokenization import TextTokenizer


class TextEncoder:
    """A loaded encoder; one may be shared by many threads.

    Tokens are all that the model attends to, special tokens and prompts included.
    """

    def __init__(
        self,
        *,
        name: str,
        fingerprint: str,
        folder: ModelFolder,
        tokenizer: TextTokenizer,
        backend: Backend,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.folder = folder
        self.backend = backend
        self._tokenizer = tokenizer

    def __repr__(self) -> str:
        return f"TextEncoder({self.name!r}, {self.backend.description!r})"

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return int(self.folder.config["hidden_size"]) * len(self.folder.pooling)

    @property
    def max_tokens(self) -> int:
        """Tokens the model reads of a text, special tokens and prompt included."""
        return self._tokenizer.max_tokens

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries, prompted as the model expects; (n, dim)."""
        return self._embed(texts, self.folder.query_prompt)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents, prompted as the model expects; (n, dim)."""
        return self._embed(texts, self.folder.document_prompt)

    def embed_query_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Embed queries; one (tokens, dim) array each, rows of length 1."""
        return [encoding.tokens for encoding in self.encode_queries(texts)]

    def embed_document_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Embed documents; one (tokens, dim) array each, rows of length 1."""
        return [encoding.tokens for encoding in self.encode_documents(texts)]

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode queries, prompted as the model expects."""
        return self._encode(texts, self.folder.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode documents, prompted as the model expects."""
        return self._encode(texts, self.folder.document_prompt)

    def _encode(self, texts: Sequence[str], prompt: str) -> list[Encoding]:
        encodings: dict[int, Encoding] = {
            index: Encoding(self._pool(states), unit_rows(states), truncated)
            for index, states, truncated in self._states(texts, prompt)
        }
        return [encodings[index] for index in range(len(texts))]

    def _embed(self, texts: Sequence[str], prompt: str) -> Vectors:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for index, states, _ in self._states(texts, prompt):
            vectors[index] = self._pool(states)
        return vectors

    def _states(self, texts: Sequence[str], prompt: str) -> Iterator[tuple[int, Vectors, bool]]:
        sequences = self._tokenizer.encode([prompt + text for text in texts])
        for index, states in run_all(self.backend, sequences, pad_id=self._tokenizer.pad_id):
            yield index, states, sequences[index].truncated

    def _pool(self, states: Vectors) -> Vectors:
        vector = pool(states, self.folder.pooling)
        return unit_rows(vector) if self.folder.normalize else vector
