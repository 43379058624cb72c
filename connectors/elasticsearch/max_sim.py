"""Searching with token tensors: the first stage, then the tensors of its hits, scored here.

Knows nothing of how tensors are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from retrieve_rerank.base import Encoding, Filter, MaxSimScores, TensorSearch, Vectors
from retrieve_rerank.connectors.elasticsearch.cluster import Steps
from retrieve_rerank.connectors.elasticsearch.own import key
from retrieve_rerank.connectors.elasticsearch.searcher import Searcher
from retrieve_rerank.connectors.elasticsearch.sidecar import Sidecar
from retrieve_rerank.connectors.hybrid import DENSE, check_search
from retrieve_rerank.connectors.tensor_encoder import TensorEncoder


class MaxSimSearcher:
    """Scores by MaxSim; safe to share between threads and event loops."""

    def __init__(self, searcher: Searcher, sidecar: Callable[[], Sidecar]) -> None:
        self._searcher = searcher
        self._sidecar = sidecar
        self._encoder = TensorEncoder()

    def search(
        self, query: str, *, top_k: int, filter: Filter | None, timeout_s: float | None
    ) -> Steps[TensorSearch]:
        """Search, and score the hits; two requests."""
        check_search(query, top_k)
        encoding, vector = yield from self._encode(query)
        hits = yield from self._searcher.search(
            query, top_k=top_k, filter=filter, timeout_s=timeout_s, vector=vector
        )
        scores = yield from self._score(encoding, [hit.document.id for hit in hits])
        return TensorSearch(hits, scores)

    def score(self, query: str, ids: Sequence[str]) -> Steps[dict[str, float]]:
        """Score these documents; those without tensors are absent."""
        check_search(query, top_k=1)
        encoding, _ = yield from self._encode(query)
        return (yield from self._score(encoding, ids))

    def _score(self, encoding: Encoding | None, ids: Sequence[str]) -> Steps[dict[str, float]]:
        began = time.perf_counter()
        if encoding is None:
            return {}
        keys = {key(id_): id_ for id_ in ids}
        scores = yield from self._sidecar().scores(encoding.tokens, list(keys))
        return MaxSimScores(
            {keys[key]: score for key, score in scores.items()},
            query_truncated=encoding.truncated,
            ms=(time.perf_counter() - began) * 1000,
        )

    def _encode(self, query: str) -> Steps[tuple[Encoding | None, Vectors | None]]:
        """Encode a query as the tensors were, and for the first stage if that takes the same."""
        settings = yield from self._sidecar().ask()
        if settings is None:
            return None, None
        opened = self._searcher.opened
        dense = opened.layout.vector is not None and DENSE in self._searcher.rankings()

        def encode() -> tuple[Encoding, Vectors | None]:
            embedder = opened.encoder.load() if dense else None
            encoding = self._encoder.encode(query, settings, embedder=embedder)
            same = embedder is not None and embedder.fingerprint == settings.fingerprint
            return encoding, encoding.vector if same else None

        encoded: tuple[Encoding, Vectors | None] = yield encode
        return encoded
