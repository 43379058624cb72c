"""What exact vector search finds of the relevant documents: the error of the encoder itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.types import Qrels

DEPTHS = (10, 100, 1000)

_NDCG = "nDCG@10"


@dataclass(frozen=True, slots=True)
class Relevance:
    """Exact and approximate search against judgments."""

    queries: int
    """Judged ones."""
    found: Mapping[int, float]
    """Depth -> share of the relevant documents that exact search has found by then."""
    ndcg_exact: float
    """nDCG@10 of exact search."""
    ndcg_approximate: float
    """nDCG@10 of the search as it is set now."""
    found_approximate: Mapping[int, float]
    """Depth -> share of the relevant documents found by the search as it is set now."""


def relevance(qrels: Qrels, *, exact: Rankings, approximate: Rankings, depth: int) -> Relevance:
    """Measure both, whose ids are those of the judgments.

    `depth` is how far the approximate rankings reach.
    """
    names = [_NDCG, *(f"Recall@{k}" for k in DEPTHS)]
    measures = parse_measures(names)
    means = [
        {
            name: sum(values.values()) / len(qrels)
            for name, values in score(measures, qrels, rankings).items()
        }
        for rankings in (exact, approximate)
    ]
    return Relevance(
        queries=len(qrels),
        found={k: means[0][f"Recall@{k}"] for k in DEPTHS},
        ndcg_exact=means[0][_NDCG],
        ndcg_approximate=means[1][_NDCG],
        found_approximate={k: means[1][f"Recall@{k}"] for k in DEPTHS if k <= depth},
    )
