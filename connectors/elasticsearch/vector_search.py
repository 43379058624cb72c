"""Neighbours of a vector, through the graph and without it, for audits of what the graph loses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retrieve_rerank.base import Embedder, Graph, Knob, Vectors, VectorSearch
from retrieve_rerank.connectors.elasticsearch import requests
from retrieve_rerank.connectors.elasticsearch.client import Cluster
from retrieve_rerank.connectors.elasticsearch.opening import Opened
from retrieve_rerank.connectors.elasticsearch.reader import walk
from retrieve_rerank.connectors.elasticsearch.requests import Body, KnnSettings
from retrieve_rerank.connectors.elasticsearch.responses import hits_of, similarity
from retrieve_rerank.connectors.elasticsearch.target import Target, require_same
from retrieve_rerank.connectors.exact_search import similarities
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.errors import ConnectorError, UnsupportedServerError
from retrieve_rerank.text.field_paths import value_at
from retrieve_rerank.text.truncation import truncates

NUM_CANDIDATES = (10, 20, 50, 100, 200, 400, 800, 1600, 3200, 6400)
OVERSAMPLE = (0, 1, 2, 3, 5, 10)
"""Of which the server takes 0 for none, and 1 to 10."""

Neighbours = list[tuple[str, float]]


class ElasticsearchVectorSearch(VectorSearch):
    """The part of a connector that audits go by."""

    _cluster: Cluster
    _target: Target

    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what trades time for recall: num_candidates, and oversample where quantised."""
        return knobs(self._target.opened, self._target.options.knn, top_k=top_k)

    def graph(self) -> Graph:
        """Tell whether searches walk a graph, or compare with every vector."""
        return graph(self._cluster, self._target.opened)

    def embedder(self) -> Embedder:
        """Return the encoder that queries go through."""
        return self._target.opened.encoder.load()

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries as searches do; (n, dim)."""
        return self.embedder().embed_queries(list(queries))

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count the queries of which the encoder reads only the beginning, where it tells."""
        encoder = self.embedder()
        return sum(truncates(encoder, query) for query in queries)

    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        """Find (document id, similarity) through the graph, best first, with these knobs."""
        knn = adjusted(self._target.options.knn, settings)
        return nearest(self._cluster, self._target.opened, vector, top_k=top_k, settings=knn)

    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Find the true neighbours of each query, (document id, similarity), best first."""
        return nearest_exact(
            self._cluster, self._target.opened, vectors, top_k=top_k, on_progress=on_progress
        )


def knobs(opened: Opened, settings: KnnSettings, *, top_k: int) -> list[Knob]:
    """List what trades time for recall here."""
    field = _field(opened)
    found = [Knob("num_candidates", NUM_CANDIDATES, settings.candidates(top_k))]
    if field.quantization and opened.server.has(8, 18):
        options = opened.index.fields[field.name].settings.get("index_options", {})
        of_index = options.get("rescore_vector", {}).get("oversample")
        found.append(Knob("oversample", OVERSAMPLE, settings.oversample or of_index))
    return found


def graph(cluster: Cluster, opened: Opened) -> Graph:
    """Tell whether searches walk a graph: not of flat vectors, nor of small segments.

    How small depends on the release, so that the narrowest search is asked how many vectors it
    has compared.
    """
    field = _field(opened)
    kind = str(opened.index.fields[field.name].settings.get("index_options", {}).get("type", ""))
    if "flat" in kind:
        return Graph(walked=False, said=f"its vectors are kept without a graph ({kind})")
    if field.nested:  # of which there are more than documents
        return Graph()
    vector = np.full(field.dimension, field.dimension**-0.5, np.float32)
    clause = requests.knn_clause(field, vector, k=1, settings=KnnSettings(num_candidates=1))
    body = requests.search_body({"knn": clause}, size=1, source=False) | {"profile": True}
    answer = cluster.send(requests.search(opened.name, [body]))
    shards = answer.get("profile", {}).get("shards", ())
    compared = [
        int(each.get("vector_operations_count", 0))
        for shard in shards
        for each in shard.get("dfs", {}).get("knn", ())
    ]
    there = {"query": {"exists": {"field": field.name}}}
    body = requests.search_body(there, size=0, source=False) | {"track_total_hits": True}
    total = cluster.send(requests.search(opened.name, [body]))["hits"]["total"]["value"]
    if total and sum(compared) >= total:
        return Graph(
            walked=False,
            said=f"a search for one hit compares the query with all {total:,} vectors, as the "
            "server does in segments that are small",
        )
    return Graph()


def nearest(
    cluster: Cluster, opened: Opened, vector: Vectors, *, top_k: int, settings: KnnSettings
) -> Neighbours:
    """Search through the graph."""
    field = _field(opened)
    k = min(top_k, opened.index.max_result_window)
    clause = requests.knn_clause(field, vector, k=k, settings=settings)
    return _send(cluster, opened, field, {"knn": clause}, k)


def adjusted(settings: KnnSettings, knobs: Mapping[str, float] | None) -> KnnSettings:
    """Take the knobs of one search into the settings."""
    values: dict[str, Any] = dict(knobs or {})
    if "num_candidates" in values:
        values["num_candidates"] = int(values["num_candidates"])
    return replace(settings, **values)


def nearest_exact(
    cluster: Cluster,
    opened: Opened,
    vectors: Vectors,
    *,
    top_k: int,
    on_progress: Callable[[int], None] | None = None,
) -> list[Neighbours]:
    """Compare with every vector: by a script, by the query for it, else here.

    Raises IndexMismatchError where the address stands for something else at the end.
    """
    field = _field(opened)
    if len(vectors) == 0:
        return []
    found = _exact(cluster, opened, field, vectors, top_k, on_progress)
    cluster.run(require_same(opened))
    return found


def _exact(
    cluster: Cluster,
    opened: Opened,
    field: VectorField,
    vectors: Vectors,
    top_k: int,
    on_progress: Callable[[int], None] | None,
) -> list[Neighbours]:
    for exact in (requests.exact_query, requests.dense_vector_query):
        try:
            return [
                _counted(
                    _send(cluster, opened, field, {"query": exact(field, row)}, top_k), on_progress
                )
                for row in vectors
            ]
        except UnsupportedServerError:
            continue  # scripts may be switched off, and the query is younger than 9.5.0
    return _streamed(cluster, opened, field, vectors, top_k, on_progress)


def _send(
    cluster: Cluster, opened: Opened, field: VectorField, part: Body, size: int
) -> Neighbours:
    body = requests.search_body(part, size=size, source=opened.layout.id_source)
    hits = hits_of(cluster.send(requests.search(opened.name, [body])), opened.location)
    cluster.run(require_same(opened, hits))
    return [
        (opened.layout.document(hit).id, similarity(float(hit["_score"]), field.similarity))
        for hit in hits
    ]


def _streamed(
    cluster: Cluster,
    opened: Opened,
    field: VectorField,
    vectors: Vectors,
    top_k: int,
    on_progress: Callable[[int], None] | None,
) -> list[Neighbours]:
    """Read all vectors once, a page at a time, keeping the best so far of each query."""
    best: list[Neighbours] = [[] for _ in vectors]
    there = {"exists": {"field": field.name}}
    query = {"nested": {"path": field.nested, "query": there}} if field.nested else there
    source = opened.layout.id_source
    for page in walk(
        cluster,
        opened.name,
        indexes=opened.indexes,
        source=source,
        fields=[field.name],
        query=query,
    ):
        ids: list[str] = []  # of the document that each row is of
        rows: list[Vectors] = []
        for hit in page:
            found = np.array(value_at(hit["fields"], field.name), dtype=np.float32)
            rows.append(found.reshape(-1, field.dimension))  # several where it is nested
            ids += [opened.layout.document(hit).id] * len(rows[-1])
        scores = similarities(vectors, np.concatenate(rows), field.similarity)
        best = [_best(old, ids, new, top_k) for old, new in zip(best, scores, strict=True)]
        if on_progress:
            on_progress(len(page))
    return best


def _best(old: Neighbours, ids: Sequence[str], scores: Vectors, top_k: int) -> Neighbours:
    """Take the best of what was found before and of a page, each document once."""
    found = dict(old)
    for i in np.argsort(-scores, kind="stable"):
        if len(found) >= len(old) + top_k:
            break  # the others are of lesser rank, or lesser chunks of those
        found.setdefault(ids[i], float(scores[i]))
    return sorted(found.items(), key=lambda pair: -pair[1])[:top_k]


def _counted(found: Neighbours, on_progress: Callable[[int], None] | None) -> Neighbours:
    if on_progress:
        on_progress(1)
    return found


def _field(opened: Opened) -> VectorField:
    field = opened.layout.vector
    if field is None:
        raise ConnectorError(f"{opened.location} has no vectors that could be searched")
    return field
