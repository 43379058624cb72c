"""How far the hits of approximate vector search are those that exact search finds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from retrieve_rerank.base import VectorSearch
from retrieve_rerank.connectors.hybrid import DENSE
from retrieve_rerank.evaluation.audit.grid import recall
from retrieve_rerank.training.mining.mine import Mining
from retrieve_rerank.training.normalising import digest

SAMPLE = 50
"""Queries that are searched for again: a share of .98 of 100 hits each is known to about .005."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What approximate search has in common with exact search, over a sample of the queries."""

    queries: int
    depth: int
    """Hits of each query, at most."""
    share: float
    """Of the true nearest, those that approximate search finds; mean over the queries."""


def measure_overlap(mining: Mining) -> Overlap | None:
    """Search for the vectors of some queries through the graph and without it.

    By the dense ranking alone, without the filter, as deep as hits were mined. None where there is
    nothing to compare: exact mining, an index without vectors or whose searches are all exact, and
    a backend that cannot search exactly. Raises what searches raise.
    """
    connector, depth = mining.retriever.connector, mining.retriever.candidates
    if (
        mining.exact
        or not isinstance(connector, VectorSearch)
        or DENSE not in connector.schema().rankings
    ):
        return None
    graph = connector.graph()
    if not any(graph.turned_by(knob.name) for knob in connector.knobs(top_k=depth)):
        return None
    known = [query for query in mining.qrels if query in mining.queries]
    drawn = sorted(known, key=lambda query: digest(f"overlap {mining.seed}", query))[:SAMPLE]
    vectors = connector.query_vectors([mining.queries[query] for query in drawn])
    exact = connector.nearest_exact(vectors, top_k=2 * depth)  # beyond `depth`, to see ties
    shares = [
        recall([id_ for id_, _ in connector.nearest(vector, top_k=depth)], neighbours, depth)
        for vector, neighbours in zip(vectors, exact, strict=True)
    ]
    return Overlap(len(drawn), depth, fmean(shares))
