"""Approximate and exact search for a vector's neighbours, to compare the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from qdrant_client import models

from retrieve_rerank.base import Embedder, Graph, Knob, Vectors, VectorSearch
from retrieve_rerank.connectors.exact_search import similarities
from retrieve_rerank.connectors.fields import VectorField
from retrieve_rerank.connectors.qdrant import requests
from retrieve_rerank.connectors.qdrant.client import WRITE_TIMEOUT_S, Server, Steps
from retrieve_rerank.connectors.qdrant.collection import Collection
from retrieve_rerank.connectors.qdrant.detection import vector_params
from retrieve_rerank.connectors.qdrant.opening import Options, State
from retrieve_rerank.connectors.qdrant.reader import Reader
from retrieve_rerank.connectors.qdrant.searcher import HNSW_EF, OVERSAMPLE, Searcher
from retrieve_rerank.connectors.qdrant.sending import send
from retrieve_rerank.connectors.qdrant.versions import Limits
from retrieve_rerank.errors import SchemaError
from retrieve_rerank.text.truncation import truncates

_QUERIES_AT_ONCE = 16
_BYTES = {"float32": 4, "float16": 2}  # of a number

Neighbours = list[tuple[str, float]]


class QdrantVectorSearch(VectorSearch):
    """The part of a connector that audits go by."""

    _collection: Collection
    _server: Server
    _searcher: Searcher
    _reader: Reader

    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what can be tuned; nothing in local mode, which is exact."""
        if self._server.local:
            return []
        state = self._collection.state
        return knobs(dense_field(state), state.limits, self._collection.options)

    def graph(self) -> Graph:
        """Tell how far the server is with the graph; local mode has none."""
        if self._server.local:
            return Graph(walked=False, said="local mode has no graph")
        self._server.run(self._collection.refresh())
        return graph(self._collection.state)

    def embedder(self) -> Embedder:
        """Return the encoder that queries go through."""
        return self._collection.state.encoder.load()

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries as searches do; (n, dim)."""
        return self._server.run(self._searcher.embed(queries))

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count the queries of which the encoder reads only the beginning, where it tells."""
        encoder = self.embedder()
        return sum(truncates(encoder, query) for query in queries)

    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        """Find (document id, similarity) through the graph, best first, with these knobs."""
        state, options = self._collection.state, settings or {}
        params = self._searcher.params(
            state,
            depth=1,
            hnsw_ef=options.get("hnsw_ef"),
            oversample=options.get("oversample"),
        )
        [found] = self._server.run(_ask(state, [vector], top_k=top_k, params=params))
        return found

    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Find the true neighbours of each query, (document id, similarity), best first.

        By the engine, unless its strict mode allows no exact search: then by reading all vectors
        once.
        """
        return nearest_exact(
            self._server,
            self._collection.state,
            vectors,
            self._reader.pages,
            top_k=top_k,
            on_progress=on_progress or (lambda _: None),
        )


def knobs(field: VectorField, limits: Limits, options: Options) -> list[Knob]:
    """List what can be tuned, within what strict mode allows."""
    widths = [ef for ef in (16, 32, 64, 128, 256, 512, 1024) if ef <= limits.hnsw_ef]
    found = [Knob("hnsw_ef", widths, options.hnsw_ef or HNSW_EF)]
    if field.quantization is not None:
        factors = [each for each in (0.0, 1.0, 2.0, 3.0, 5.0) if each <= limits.oversampling]
        default = OVERSAMPLE if options.oversample is None else options.oversample
        found.append(Knob("oversample", factors, default))
    return found


def graph(state: State) -> Graph:
    """Tell how far the server is with the graph of the vectors that are searched."""
    field, info = state.layout.dense, state.info
    if field is None:
        return Graph()
    if info.status != models.CollectionStatus.GREEN:
        return Graph(unfinished=True, said=_unfinished(info))
    of_field = vector_params(info)[field.name].hnsw_config or models.HnswConfigDiff()
    settings = {
        **info.config.hnsw_config.model_dump(),
        **of_field.model_dump(exclude_none=True),
    }
    if settings["m"] == 0:
        return Graph(walked=False, said="its vectors are kept without a graph (m = 0)")
    points = info.points_count or 0
    vectors = f"its {points:,} vectors"
    if info.indexed_vectors_count == 0:
        least = info.config.optimizer_config.indexing_threshold
        return Graph(
            walked=False,
            quantised=False,
            said=f"no graph has been built of {vectors}; Qdrant builds one of a segment from "
            f"{f'{least:,} kB' if least else 'its indexing_threshold'} of vectors on",
        )
    kilobytes = points * field.dimension * _BYTES.get(field.element_type, 1) // 1024
    if kilobytes < settings["full_scan_threshold"]:
        return Graph(
            walked=False,
            said=f"{vectors} are {kilobytes:,} kB, and below full_scan_threshold "
            f"({settings['full_scan_threshold']:,} kB) Qdrant walks no graph",
        )
    return Graph()


def dense_field(state: State) -> VectorField:
    """Return the vectors that are searched; raise SchemaError where there are none."""
    field = state.layout.dense
    if field is None:
        raise SchemaError(
            "no vectors are searched here; name the encoder they were made with, with --encoder"
        )
    return field


def nearest_exact(
    server: Server,
    state: State,
    vectors: Vectors,
    pages: Callable[..., Iterator[list[models.Record]]],
    *,
    top_k: int,
    on_progress: Callable[[int], None],
) -> list[Neighbours]:
    """Find the true neighbours: by the engine, or by reading all vectors where it may not."""
    field = dense_field(state)
    if not state.limits.exact:
        return _by_reading(field, state, vectors, pages, top_k=top_k, heard=on_progress)
    params = None
    if not server.local:  # which is exact anyway, and warns of params
        quantized = field.quantization is not None
        params = requests.search_params(
            hnsw_ef=None, quantized=quantized, oversample=None, exact=True
        )
    found: list[Neighbours] = []
    for start in range(0, len(vectors), _QUERIES_AT_ONCE):
        some = vectors[start : start + _QUERIES_AT_ONCE]
        found += server.run(
            _ask(state, some, top_k=top_k, params=params, timeout=int(WRITE_TIMEOUT_S))
        )
        on_progress(len(some))
    return found


def _unfinished(info: models.CollectionInfo) -> str:
    status = info.status
    said = f"the collection's status is {status.value}"
    if status == models.CollectionStatus.YELLOW:
        said += ", as it is being built"
    elif status == models.CollectionStatus.GREY:
        said += ": what is to be built waits for the next write"
    elif isinstance(info.optimizer_status, models.OptimizersStatusOneOf1):
        said += f": {info.optimizer_status.error}"
    return f"{said}; {info.indexed_vectors_count or 0:,} vectors are in it so far"


def _ask(
    state: State,
    vectors: Sequence[Vectors] | Vectors,
    *,
    top_k: int,
    params: models.SearchParams | None,
    **timeout: int,
) -> Steps[list[Neighbours]]:
    field = dense_field(state)
    wordings = [
        requests.nearest_request(field, vector, top_k=top_k, params=params, layout=state.layout)
        for vector in vectors
    ]
    pages = [requests.pages(each, most=state.limits.query) for each in wordings]
    answers = iter(
        (
            yield from send(
                state.collection,
                state.limits,
                [page for each in pages for page in each],
                **timeout,
            )
        )
    )
    return [
        [
            (state.layout.document_id(point), requests.higher(point.score, field.similarity))
            for _ in each
            for point in next(answers)
        ]
        for each in pages
    ]


def _by_reading(
    field: VectorField,
    state: State,
    vectors: Vectors,
    pages: Callable[..., Iterator[list[models.Record]]],
    *,
    top_k: int,
    heard: Callable[[int], None],
) -> list[Neighbours]:
    """Read all vectors once, keeping the best of each query; memory does not grow with them."""
    best: list[Neighbours] = [[] for _ in vectors]
    layout = state.layout
    for points in pages(state, with_vectors=[field.name], with_payload=layout.id_selector):
        rows = [(layout.document_id(each), _vector(each, field)) for each in points]
        there = [(id_, row) for id_, row in rows if row is not None]
        if there:
            scores = similarities(vectors, np.stack([row for _, row in there]), field.similarity)
            for i, row in enumerate(scores):
                best[i] += [(id_, float(score)) for (id_, _), score in zip(there, row, strict=True)]
                best[i] = sorted(best[i], key=lambda each: -each[1])[:top_k]
        heard(len(points))
    return best


def _vector(point: models.Record, field: VectorField) -> Vectors | None:
    found = point.vector if not isinstance(point.vector, dict) else point.vector.get(field.name)
    row = None if found is None else np.asarray(found, dtype=np.float32)  # None of REST is NaN
    return row if row is not None and np.isfinite(row).all() else None
