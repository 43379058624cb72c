"""Reranking inside the database, where the token tensors lie.

Knows no model: the connector encodes the query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retrieve_rerank.base import Reranker, TensorConnector
from retrieve_rerank.types import Hit, rescore

MAX_SIM_WEIGHT = 0.7
"""Chosen on train and dev queries of several collections: docs/benchmarks/recipe.md."""


class DatabaseMaxSim(Reranker):
    """Order hits by the MaxSim that their own database computes over stored token tensors.

    Hits without tensors are left out of the judged ones. As the first stage of a Retriever over
    the same connector it costs no request of its own.
    """

    name = "max-sim"
    default_weight = MAX_SIM_WEIGHT

    def __init__(self, connector: TensorConnector) -> None:
        self.connector = connector

    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> list[Hit]:
        """Return the best `top_k` of the hits that have token tensors."""
        scores = self.connector.max_sim(query, [hit.document.id for hit in hits])
        return self.order(hits, scores)[:top_k]

    @staticmethod
    def order(hits: Sequence[Hit], scores: Mapping[str, float]) -> list[Hit]:
        """Order those hits that have a score."""
        judged = [hit for hit in hits if hit.document.id in scores]
        return rescore(judged, [scores[hit.document.id] for hit in judged])
