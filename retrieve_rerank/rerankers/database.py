"""Reranking inside the database, where the token tensors lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retrieve_rerank.base import (
    MaxSimScores,
    Reranker,
    RerankResult,
    TensorConnector,
    TensorStore,
)
from retrieve_rerank.types import Hit, rescore

MAX_SIM_WEIGHT = 0.7
"""Chosen on train and dev queries of several collections: docs/benchmarks/recipe.md."""


class DatabaseMaxSim(Reranker):
    """Order hits by the MaxSim that their own database computes over stored token tensors.

    Hits without tensors are left out of the answer; a stage leaves them where they were. As
    the first stage of a Retriever over the same connector it shares that search's work.
    """

    name = "max-sim"
    default_weight = MAX_SIM_WEIGHT
    keeps_places = True

    def __init__(self, connector: TensorConnector) -> None:
        self.connector = connector

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Order those hits that have token tensors, and say if some have none."""
        ids = [hit.document.id for hit in hits]
        return self.by_scores(self.connector.max_sim(query, ids) if ids else {}, hits)

    def by_scores(self, scores: Mapping[str, float], hits: Sequence[Hit]) -> RerankResult:
        """Order those hits that have a score, as `rerank` does with the scores it asks for."""
        scored = [hit for hit in hits if hit.document.id in scores]
        return RerankResult(
            rescore(scored, [scores[hit.document.id] for hit in scored]),
            notes=() if len(scored) == len(hits) else (self._lack(some=bool(scored)),),
            query_truncated=isinstance(scores, MaxSimScores) and scores.query_truncated,
        )

    def _lack(self, *, some: bool) -> str:
        hits = "there are hits without token tensors" if some else "no hit has token tensors"
        place = "they keep their places" if some else "the order is as it was"
        makes = "; rr tensors add makes them" if isinstance(self.connector, TensorStore) else ""
        return f"{hits}: {place}{makes}"
