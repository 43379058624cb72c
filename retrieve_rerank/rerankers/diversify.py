"""Hits that repeat each other moved apart: maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrieve_rerank.base import Connector, Embedder, Reranker, RerankResult
from retrieve_rerank.errors import InputError
from retrieve_rerank.fusion import descending
from retrieve_rerank.models.encoders.embedders import load_embedder
from retrieve_rerank.models.loading import DEFAULT_ENCODER
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Hit, rescore


class Diversify(Reranker):
    """Order hits by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    One after another the hit is taken whose λ · relevance − (1 − λ) · similarity to the most
    similar hit taken before is highest (https://doi.org/10.1145/290941.291025). Relevance is the
    incoming score, scaled to 0…1 over the hits; similarity the cosine of the texts' vectors.
    Every text goes through the embedder at each call: give the stage a depth.
    """

    name = "diversify"

    def __init__(
        self,
        embedder: Embedder,
        *,
        relevance_share: float = 0.7,
        template: Template | str | None = None,
    ) -> None:
        """`relevance_share` is λ: 1 keeps the order, 0 looks at similarity alone."""
        if not 0.0 <= relevance_share <= 1.0:
            raise InputError(f"relevance_share must lie between 0 and 1; got {relevance_share}")
        self.embedder = embedder
        self.relevance_share = relevance_share
        self.template = Template(template) if isinstance(template, str) else template or Template()

    @classmethod
    def configure(
        cls, connector: Connector, *, model: str | None = None, **options: Any
    ) -> Reranker:
        """Make one that compares by `model`, the bundled encoder where none is named."""
        return cls(load_embedder(model or DEFAULT_ENCODER), **options)

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Put hits into the order in which they are taken; scores are the criterion."""
        if not hits:
            return RerankResult([])
        texts = [self.template.render(hit.document) for hit in hits]
        vectors = self.embedder.embed_documents(texts)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        incoming = np.array(descending([hit.score for hit in hits]))
        spread = incoming.max() - incoming.min()
        relevance = (incoming - incoming.min()) / spread if spread > 0 else np.ones(len(hits))
        worth = self.relevance_share * relevance
        # Cosines below 0 count as 0, so that no score exceeds one given before.
        closest = np.zeros(len(hits))
        left = np.ones(len(hits), dtype=bool)
        scores = np.empty(len(hits))
        for _ in range(len(hits)):
            marginal = np.where(left, worth - (1 - self.relevance_share) * closest, -np.inf)
            taken = int(marginal.argmax())
            scores[taken] = marginal[taken]
            left[taken] = False
            closest = np.maximum(closest, vectors @ vectors[taken])
        unread = self.template.notes(hit.document for hit in hits)
        return RerankResult(rescore(hits, scores.tolist()), notes=unread)
