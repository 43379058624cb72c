"""LangChain's `Embeddings` as an embedder of queries and documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from retrieve_rerank.base import Vectors
from retrieve_rerank.errors import ModelError


class LangChainEmbedder:
    """Asks an object with `embed_query` and `embed_documents`, of any package.

    Raises ModelError where it fails, or gives no vectors of finite numbers.
    """

    def __init__(self, embeddings: Any) -> None:
        self._embeddings = embeddings
        given = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None)
        kind = type(embeddings).__name__
        self.name = f"{kind}({given})" if isinstance(given, str) else kind

    @property
    def fingerprint(self) -> str:
        """Of its name, which is all that can be told."""
        return f"langchain {self.name}"

    @cached_property
    def dimension(self) -> int:
        """Length of each vector, found by embedding a letter."""
        return int(self.embed_queries(["a"]).shape[1])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries one by one; (n, dim)."""
        return self._read(lambda: [self._embeddings.embed_query(text) for text in texts], texts)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents; (n, dim)."""
        return self._read(lambda: self._embeddings.embed_documents(list(texts)), texts)

    def _read(self, ask: Callable[[], Any], texts: Sequence[str]) -> Vectors:
        try:
            vectors = np.asarray(ask(), dtype=np.float32)
        except Exception as exc:  # of whatever package it is; its message may show a key
            raise ModelError(f"{self.name} gave no vectors: {type(exc).__name__}") from exc
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.name} gave an array of shape {vectors.shape} for {len(texts)} texts; "
                "expected a vector of finite numbers for each"
            )
        return vectors
