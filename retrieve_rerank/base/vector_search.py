"""What a backend offers whose approximate search can be measured against an exact one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from retrieve_rerank.base.encoder import Embedder, Vectors


class Knob(NamedTuple):
    """A setting of approximate search that trades time for recall."""

    name: str
    """As the backend calls it, and as an index's settings take it: `hnsw_ef`."""
    values: Sequence[float]
    """Worth trying, cheapest first; 0 as `oversample` means no second look at full precision."""
    default: float | None
    """What a search for so many hits uses; None where the server decides."""


OVERSAMPLE = "oversample"
"""The knob for quantised vectors: how many times more of them are compared again in full."""


class Graph(NamedTuple):
    """How far the graph is that approximate searches walk."""

    walked: bool = True
    """Whether they walk one; where not, they compare the query with every vector."""
    quantised: bool = True
    """Whether vectors that are quantised are compared as such where no graph is walked."""
    unfinished: bool = False
    """Whether more of it is to be built, which changes what is found and how long it takes."""
    said: str = ""
    """How that is known, or why it is so."""

    def turned_by(self, knob: str) -> bool:
        """Tell whether a knob makes a difference."""
        return self.walked or (self.quantised and knob == OVERSAMPLE)


class Embedding(ABC):
    """A backend that knows which model its vectors are of, and can embed other texts by it."""

    @abstractmethod
    def embedder(self) -> Embedder:
        """Return the model, loaded; raise ConfigError or ConnectorError where there is none."""


class VectorSearch(Embedding):
    """A backend whose approximate search can be compared with an exact one, for audits."""

    @abstractmethod
    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what can be tuned: what widens the graph walk first, then `oversample`, which
        is there for quantised vectors only. Nothing where every search is exact."""

    def graph(self) -> Graph:
        """Tell how far the graph is, so that no audit is of one that is not there."""
        return Graph()

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
