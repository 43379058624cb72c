"""What exact vector search finds of the relevant documents: the error of the encoder itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from retrieve_rerank.base import Connector
from retrieve_rerank.data.passages import whole_ids
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.types import Qrels

DEPTHS = (10, 100, 1000)

_NDCG = "nDCG@10"


@dataclass(frozen=True, slots=True)
class Relevance:
    """Exact and approximate search against judgments."""

    queries: int
    """Judged ones."""
    hits: int
    """How many hits of each query nDCG is of; those of one document's passages may count once."""
    found: Mapping[int, float]
    """Depth -> share of the relevant documents that exact search has found by then."""
    ndcg_exact: float
    """nDCG@10 of exact search's first hits."""
    ndcg_approximate: float
    """nDCG@10 of those of the search as it is set now."""
    found_approximate: Mapping[int, float]
    """Depth -> share of the relevant documents found by the search as it is set now; as far as its
    hits reach."""


def relevance(
    connector: Connector,
    judged: JudgedDocuments,
    qrels: Qrels,
    *,
    exact: Rankings,
    approximate: Rankings,
    hits: int,
) -> Relevance:
    """Measure both, whose ids are those of the index.

    `hits` is how far the approximate rankings reach, and the exact ones at least. Where passages
    count as what they were split from, so many hold fewer documents: the two are compared as far
    as the same number of exact hits tells.
    """
    wholes = whole_ids(
        connector,
        (id_ for ranks in (exact, approximate) for query in qrels for id_ in ranks[query]),
    )

    def named(rankings: Rankings, most: int | None = None) -> dict[str, list[str]]:
        return {query: judged.without_metadata(rankings[query][:most], wholes) for query in qrels}

    deep, near, now = named(exact), named(exact, hits), named(approximate)
    names = [_NDCG, *(f"Recall@{k}" for k in DEPTHS)]
    measures = parse_measures(names)
    of_deep, of_near, of_now = (
        {
            name: sum(values.values()) / len(qrels)
            for name, values in score(measures, qrels, rankings).items()
        }
        for rankings in (deep, near, now)
    )
    reached = [
        k for k in DEPTHS if all(len(near[query]) >= min(k, len(deep[query])) for query in qrels)
    ]
    return Relevance(
        queries=len(qrels),
        hits=hits,
        found={k: of_deep[f"Recall@{k}"] for k in DEPTHS},
        ndcg_exact=of_near[_NDCG],
        ndcg_approximate=of_now[_NDCG],
        found_approximate={k: of_now[f"Recall@{k}"] for k in reached},
    )
