"""MaxSim in the database, for documents whose tensors hold a span that is to be cut out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

from retrieve_rerank.base import (
    Embedding,
    Encoder,
    MaxSimScores,
    RerankResult,
    TensorConnector,
    TensorStore,
)
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Hit


class CutMaxSim(DatabaseMaxSim):
    """Takes the database's scores, but those of the documents that a query came from, which are
    encoded anew without the span, and pooled as the others; their scores do not rise by it.

    `cut_hits` are ids by query; the hits' texts lack the spans already.
    """

    def __init__(self, connector: TensorConnector, cut_hits: Mapping[str, Collection[str]]) -> None:
        super().__init__(connector)
        self._cut_hits = cut_hits
        self._loaded: tuple[Encoder, int] | None = None

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        ids = [hit.document.id for hit in hits]
        found = self.connector.max_sim(query, ids) if ids else {}
        scores = dict(found)
        cut = self._cut_hits.get(query, ())
        own = [hit.document for hit in hits if hit.document.id in cut and hit.document.id in scores]
        if own:
            encoder, factor = self._made_with()
            [asked] = encoder.encode_queries([query])
            left = encoder.encode_documents([Template().render(document) for document in own])
            pooled = [pool_tokens(each.tokens, factor) for each in left]
            anew = max_sim(asked.tokens, pooled).tolist()
            for document, score in zip(own, anew, strict=True):
                scores[document.id] = min(score, scores[document.id])
        truncated = isinstance(found, MaxSimScores) and found.query_truncated
        return self.by_scores(MaxSimScores(scores, query_truncated=truncated), hits)

    def _made_with(self) -> tuple[Encoder, int]:
        """Return the model that the tensors were made with, and how many tokens are averaged."""
        if self._loaded is None:
            store = self.connector
            settings = store.tensor_settings() if isinstance(store, TensorStore) else None
            embedder = store.embedder() if isinstance(store, Embedding) else None
            if settings is None and embedder is None:
                raise ConfigError(
                    f"{type(store).__name__} does not tell which model its token tensors are of, so"
                    " that texts without a span cannot be scored; leave the stage max-sim out"
                )
            if settings is None:
                tensors = self.connector.schema().details.get("tensors", {})
                factor = int(tensors.get("pooling_factor", 1))
            else:
                factor = settings.pooling_factor
            if settings is None or (embedder and embedder.fingerprint == settings.fingerprint):
                # An index with tensors has an encoder that gives tokens.
                self._loaded = cast(Encoder, embedder), factor
            else:
                # Imported here as OpenVINO takes longer to import than a lexical search takes.
                from retrieve_rerank.models.loading import load_encoder

                self._loaded = load_encoder(settings.encoder), factor
        return self._loaded
