"""Neighbours of a vector, through the graph and without it, for audits of what the graph loses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from retrieve_rerank.base import Embedder, Graph, Knob, Vectors, VectorSearch
from retrieve_rerank.connectors.embedded.folder import IndexFolder
from retrieve_rerank.connectors.embedded.graph_part import outside_graph
from retrieve_rerank.connectors.embedded.searcher import Searcher
from retrieve_rerank.connectors.embedded.shared import SharedShard

_GRAPH_FROM_BYTES = 10_000 << 10  # of vectors; the engine makes no graph below


class EmbeddedVectorSearch(VectorSearch):
    """The part of a connector that audits go by."""

    _folder: IndexFolder
    _searcher: Searcher
    _shard: SharedShard

    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what can be tuned: how many candidates a walk of the graph keeps."""
        return [Knob("hnsw_ef", (16, 32, 64, 128, 256, 512), self._searcher.hnsw_ef)]

    def graph(self) -> Graph:
        """Tell whether there is a graph: it is made by `optimize`, of vectors that are enough."""
        in_graph, outside = self._outside_graph()
        if in_graph:
            return Graph()
        if outside > _GRAPH_FROM_BYTES:
            return Graph(walked=False, said="no graph has been made yet; rr index, run again, does")
        return Graph(
            walked=False,
            said=f"its vectors are {outside >> 10:,} kB, and the engine makes a graph from "
            f"{_GRAPH_FROM_BYTES >> 10:,} on",
        )

    def embedder(self) -> Embedder:
        """Return the encoder that the index was made with."""
        return self._searcher.embedder()

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries as searches do; (n, dim)."""
        return self._searcher.query_vectors(queries)

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count the queries of which the encoder reads only the beginning, where it tells."""
        return self._searcher.truncated_queries(queries)

    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        """Find (document id, cosine) through the graph, best first."""
        hnsw_ef = int((settings or {}).get("hnsw_ef", self._searcher.hnsw_ef))
        return self._searcher.nearest(vector, top_k=top_k, hnsw_ef=hnsw_ef)

    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Find the true neighbours of each query, by comparing with every vector."""
        found = []
        for vector in vectors:
            found.append(self._searcher.nearest(vector, top_k=top_k, hnsw_ef=None))
            if on_progress:
                on_progress(1)
        return found

    def needs_optimizing(self) -> bool:
        """Tell whether so many vectors are outside the graph that `optimize` would make searches
        faster."""
        return self._outside_graph()[1] > _GRAPH_FROM_BYTES

    def _outside_graph(self) -> tuple[int, int]:
        """Return how many vectors are in the graph, and how many bytes of them are not."""
        encoder = self._folder.manifest.encoder
        if encoder is None:
            return 0, 0
        with self._shard.use() as shard:
            info = shard.info()
        outside = outside_graph(info, self._folder.manifest.in_graph)
        return info.points_count - outside, outside * encoder.dimension * 4
