"""BM25's weights beside the documents of a collection that others made: sparse vectors."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.lexical_store import WeighedTerms
from retrieve_rerank.connectors.qdrant.added import BM25_TERMS, Place
from retrieve_rerank.connectors.qdrant.additions import Additions
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.points import terms_size
from retrieve_rerank.connectors.qdrant.requests import sparse_vector
from retrieve_rerank.connectors.qdrant.versions import Version
from retrieve_rerank.errors import SchemaError


class Terms(Additions[Bm25, WeighedTerms]):
    """The weighed terms of a collection; the server multiplies them by the terms' rarity."""

    kind = BM25_TERMS

    def create(self, settings: Bm25, *, companion: bool | None = None) -> None:
        """Make room; raise SchemaError for an index of our own, which has them already."""
        if self._begin().ours:
            raise SchemaError(f"{self._server.location} ranks by BM25 already, as rr index made it")
        super().create(settings, companion=companion)

    def vectors(self, place: Place, settings: Bm25, version: Version) -> dict[str, Any]:
        """Word the sparse vectors."""
        params = models.SparseVectorParams(modifier=models.Modifier.IDF)
        return {"vectors_config": {}, "sparse_vectors_config": {place.vector: params}}

    def room(self, place: Place, settings: Bm25, collection: str, version: Version) -> Steps[None]:
        """Add the sparse vectors."""
        config = models.SparseVectorConfig(modifier=models.Modifier.IDF)
        arguments = {
            "collection_name": collection,
            "vector_name": place.vector,
            "vector_name_config": models.SparseVectorNameConfig(sparse=config),
        }
        yield Call("create_vector_name", arguments)

    def vector(self, item: WeighedTerms) -> models.SparseVector | None:
        """Make a sparse vector; a text without words has none."""
        return sparse_vector(item.terms) if item.terms else None

    def size(self, item: WeighedTerms) -> int:
        """Estimate the bytes of the terms."""
        return terms_size(len(item.terms))
