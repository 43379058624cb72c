"""Searching with token tensors: the first stage, then the tensors of its hits, scored here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from retrieve_rerank.base import (
    Encoding,
    Filter,
    MaxSimScores,
    TensorSearch,
    Vectors,
)
from retrieve_rerank.connectors.elasticsearch.client import Steps
from retrieve_rerank.connectors.elasticsearch.schema import key
from retrieve_rerank.connectors.elasticsearch.searcher import Searcher
from retrieve_rerank.connectors.elasticsearch.target import Target
from retrieve_rerank.connectors.elasticsearch.tensors import Seen, Sidecar
from retrieve_rerank.connectors.hybrid import DENSE, checked_query
from retrieve_rerank.connectors.moving import TIMES, unsteady
from retrieve_rerank.connectors.tensor_encoder import TensorEncoder

_PAUSE_S = 0.2
"""Between looks at tensors that are being replaced, of which the server lacks both for a moment."""


class _Encoded(NamedTuple):
    """A query, encoded as the tensors were."""

    seen: Seen | None
    """What they were; None where there were none."""
    encoding: Encoding | None
    vector: Vectors | None
    """For the first stage, if that takes the same."""


class MaxSimSearcher:
    """Scores by MaxSim; safe to share between threads and event loops."""

    def __init__(self, target: Target, searcher: Searcher, sidecar: Callable[[], Sidecar]) -> None:
        self._target = target
        self._searcher = searcher
        self._sidecar = sidecar
        self._encoder = TensorEncoder()

    def search(
        self, query: str, *, top_k: int, filter: Filter | None, timeout_s: float | None
    ) -> Steps[TensorSearch]:
        """Search, and score the hits; two requests."""
        query = checked_query(query, top_k)
        encoded = yield from self._encode(query)
        hits = yield from self._searcher.search(
            query, top_k=top_k, filter=filter, timeout_s=timeout_s, vector=encoded.vector
        )
        scores = yield from self._score(query, encoded, [hit.document.id for hit in hits])
        return TensorSearch(hits, scores)

    def score(self, query: str, ids: Sequence[str]) -> Steps[dict[str, float]]:
        """Score these documents; those without tensors are absent."""
        query = checked_query(query)
        encoded = yield from self._encode(query)
        return (yield from self._score(query, encoded, ids))

    def _score(self, query: str, encoded: _Encoded, ids: Sequence[str]) -> Steps[dict[str, float]]:
        """Score these documents, encoding the query again where the tensors were made anew."""
        began = time.perf_counter()
        keys = {key(id_): id_ for id_ in ids}
        for _ in range(TIMES):
            seen, encoding, _ = encoded
            if seen is None or encoding is None:
                return {}
            scores = yield from self._sidecar().scores(encoding.tokens, list(keys), seen)
            if scores is not None:
                return MaxSimScores(
                    {keys[key]: score for key, score in scores.items()},
                    query_truncated=encoding.truncated,
                    ms=(time.perf_counter() - began) * 1000,
                )
            encoded = yield from self._encode(query)
            if seen.same_as(encoded.seen):  # the server drops the old before it tells of the new
                yield partial(time.sleep, _PAUSE_S)
        raise unsteady(self._sidecar().name)

    def _encode(self, query: str) -> Steps[_Encoded]:
        """Encode a query as the tensors were, and for the first stage if that takes the same."""
        seen = yield from self._sidecar().ask()
        if seen is None:
            return _Encoded(None, None, None)
        settings = seen.settings
        opened = self._target.opened
        dense = opened.layout.vector is not None and DENSE in self._target.options.rankings(opened)

        def encode() -> _Encoded:
            embedder = opened.encoder.load() if dense else None
            encoding = self._encoder.encode(query, settings, embedder=embedder)
            same = self._encoder.gives_vectors_of(embedder, settings)
            return _Encoded(seen, encoding, encoding.vector if same else None)

        encoded: _Encoded = yield encode
        return encoded
