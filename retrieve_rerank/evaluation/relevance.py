"""What exact vector search finds of the relevant documents: the error of the encoder itself.

Knows nothing of searching.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.types import Qrels

DEPTHS = (10, 100, 1000)

_NDCG = "nDCG@10"
_PASSAGE = re.compile(r"(.+)#\d+", re.DOTALL)


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
    """Measure both; `depth` is how far the approximate rankings reach."""
    names = [_NDCG, *(f"Recall@{k}" for k in DEPTHS)]
    measures = parse_measures(names)
    judged = {id_ for grades in qrels.values() for id_ in grades}
    means = [
        {
            name: sum(values.values()) / len(qrels)
            for name, values in score(measures, qrels, _documents(rankings, judged)).items()
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


def _documents(rankings: Rankings, judged: Collection[str]) -> Rankings:
    """Let a document's passages stand for it, the best one giving its place."""
    return {
        query: list(dict.fromkeys(_document(id_, judged) for id_ in ids))
        for query, ids in rankings.items()
    }


def _document(id_: str, judged: Collection[str]) -> str:
    passage = None if id_ in judged else _PASSAGE.fullmatch(id_)
    return passage[1] if passage else id_
