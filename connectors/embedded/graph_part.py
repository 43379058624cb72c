"""How much of an index is in its graph, as far as what the engine counts tells."""

from __future__ import annotations

import qdrant_edge as edge


def outside_graph(info: edge.ShardInfo, in_graph: int | None) -> int:
    """Count the documents whose vectors are in no graph, by what `EdgeShard.info` says.

    `in_graph` is `counted_in_graph` of when the graph was last made; without it, those that took
    the place of others since are not seen.
    """
    # Counted are each point's BM25 vector, always, and its dense and token vectors once they are
    # in an optimized segment, where those that are deleted or replaced stay until the next time.
    points, counted = info.points_count, info.indexed_vectors_count
    at_least = points - (counted - points) // 2
    written_since = counted - in_graph if in_graph is not None else 0
    return min(points, max(0, at_least, written_since))


def counted_in_graph(info: edge.ShardInfo) -> int:
    """Return how many of the vectors that the engine counts are of documents in the graph, which
    has just been made."""
    return info.indexed_vectors_count - outside_graph(info, None)
