"""What a backend offers whose approximate search can be measured against an exact one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from retrieve_rerank.base.encoder import Vectors


class Knob(NamedTuple):
    """A setting of approximate search that trades time for recall."""

    name: str
    """As the backend calls it, and as an index's settings take it: `hnsw_ef`."""
    values: Sequence[float]
    """Worth trying, cheapest first; 0 as `oversample` means no second look at full precision."""
    default: float | None
    """What a search for so many hits uses; None where the server decides."""


class VectorSearch(ABC):
    """A backend whose approximate search can be compared with an exact one, for audits."""

    @abstractmethod
    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what can be tuned: what widens the graph walk first, then `oversample`, which
        is there for quantised vectors only. Nothing where every search is exact."""

    @abstractmethod
    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries as searches do; (n, dim)."""

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count the queries of which the encoder reads only the beginning, where it tells."""
        return 0

    @abstractmethod
    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        """Find (document id, similarity) through the graph, best first, with these knobs."""

    @abstractmethod
    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Find the true neighbours of each query, (document id, similarity), best first.

        By the engine where it can, else by reading all vectors once. `on_progress` hears how
        many queries, or documents, have been dealt with since it was last called.
        """
