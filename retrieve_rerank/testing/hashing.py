"""A deterministic encoder without weights, for tests of what surrounds an encoder."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from retrieve_rerank.base import Encoding, Vectors


class HashingEncoder:
    """Every word has a random vector of its own, drawn from its hash; a text is their mean.

    A text without words is the vector of the empty word. Reads `max_tokens` words.
    """

    def __init__(self, dimension: int = 32, *, max_tokens: int = 64, name: str = "hashing") -> None:
        self.name = name
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.encoded = 0
        """Documents encoded so far."""

    @property
    def fingerprint(self) -> str:
        """Of the settings, which are all there is."""
        return f"hashing-{self.dimension}-{self.max_tokens}"

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed texts; (n, dim)."""
        return np.stack([self._encode(text).vector for text in texts])

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts, and count them; (n, dim)."""
        self.encoded += len(texts)
        return self.embed_queries(texts)

    def truncates(self, query: str) -> bool:
        """Whether the query has more words than are read."""
        return self._encode(query).truncated

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts, a token for each word."""
        return [self._encode(text) for text in texts]

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts, and count them."""
        self.encoded += len(texts)
        return self.encode_queries(texts)

    def _encode(self, text: str) -> Encoding:
        words = re.findall(r"\w+", text.lower()) or [""]
        tokens = np.stack([self._word(word) for word in words[: self.max_tokens]])
        vector = tokens.mean(axis=0)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Encoding(unit, tokens, truncated=len(words) > self.max_tokens)

    def _word(self, word: str) -> Vectors:
        return _word(word, self.dimension)


@lru_cache(maxsize=50_000)
def _word(word: str, dimension: int) -> Vectors:
    row = np.random.default_rng(zlib.crc32(word.encode())).normal(size=dimension)
    return (row / np.linalg.norm(row)).astype(np.float32)
