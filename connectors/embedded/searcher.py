"""Searching an index: the query encoded, one request to the engine, its rankings fused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import qdrant_edge as edge

from retrieve_rerank.base import Encoder, Filter, MaxSimScores, TensorSearch, Vectors
from retrieve_rerank.connectors.embedded import requests
from retrieve_rerank.connectors.embedded.encoding import IndexEncoder
from retrieve_rerank.connectors.embedded.field_indexes import FieldIndexes
from retrieve_rerank.connectors.embedded.manifest import Manifest
from retrieve_rerank.connectors.embedded.shard import TOKENS
from retrieve_rerank.connectors.embedded.shared import SharedShard
from retrieve_rerank.connectors.encoder_output import query_encoding, query_vector
from retrieve_rerank.connectors.filters import KnownFields, clauses
from retrieve_rerank.connectors.hybrid import BM25, DENSE, DEPTH, Fusion, checked_query
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.text.truncation import truncates
from retrieve_rerank.types import Candidates, Document, Hit

_PAGE = 256  # documents read at once when walking over all


class Searcher:
    """Answers queries; safe to share between threads."""

    def __init__(
        self,
        manifest: Manifest,
        shard: SharedShard,
        encoder: IndexEncoder,
        fusion: Fusion,
        hnsw_ef: int = requests.HNSW_EF,
    ) -> None:
        self.fusion = fusion
        self.hnsw_ef = hnsw_ef
        self._shard = shard
        self._encoder = encoder
        self._field_indexes = FieldIndexes()
        there_are = (DENSE, BM25) if manifest.encoder else (BM25,)
        self._rankings = [name for name in there_are if fusion.uses(name)]
        if not self._rankings:
            raise ConfigError(
                f"the fusion's weights ({fusion.weights}) leave no ranking; there are: "
                f"{', '.join(there_are)}"
            )

    def search(
        self,
        query: str,
        manifest: Manifest,
        *,
        top_k: int,
        filter: Filter | None,
        timeout_s: float | None,
        max_sim: bool,
    ) -> TensorSearch:
        """Search by the rankings in use; with `max_sim`, score the hits by it too."""
        query = checked_query(query, top_k)
        wanted = clauses(filter, KnownFields(manifest.fields))
        depth = max(top_k, DEPTH)
        bm25 = manifest.bm25 if BM25 in self._rankings else None
        notes = bm25.notes(query) if bm25 else ()
        dense, tokens, cut = self._encode(query, max_sim=max_sim)
        names, batch = requests.search_batch(
            dense=dense,
            terms=bm25.query(query) if bm25 else {},
            tokens=tokens,
            filter=requests.engine_filter(wanted),
            depth=depth,
            hnsw_ef=self.hnsw_ef,
        )
        if batch is None:
            return TensorSearch(Candidates(notes=notes), {})
        with self._shard.use(timeout_s=timeout_s) as shard:
            self._field_indexes.ensure(self._shard, wanted, manifest.fields)
            answers = dict(zip(names, shard.query_batch(batch), strict=True))
            rankings = {name: requests.ranking(answers.get(name, ())) for name in self._rankings}
            hits = self.fusion.fuse(rankings, top_k=top_k, depth=depth)
            documents = retrieve(shard, [hit.document.id for hit in hits])
        scores = requests.max_sims(answers.get(TOKENS, ()), tokens)
        return TensorSearch(
            Candidates(
                (
                    Hit(documents[hit.document.id], hit.score, hit.rank, sources=hit.sources)
                    for hit in hits
                ),
                notes=notes,
                query_truncated=cut and dense is not None,
            ),
            MaxSimScores(
                {documents[point].id: scores[point] for point in documents.keys() & scores.keys()},
                query_truncated=cut,
            ),
        )

    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        """Score these documents; those without token tensors are absent."""
        query = checked_query(query)
        encoder = self._encoder.of_tokens()
        if encoder is None or not ids:
            return {}
        encoding = query_encoding(encoder, query, dimension=self._encoder.token_dimension)
        points = {point_id(id_): id_ for id_ in ids}
        with self._shard.use() as shard:
            answer = shard.query(requests.max_sim_request(encoding.tokens, list(points)))
        scores = requests.max_sims(answer, encoding.tokens)
        return MaxSimScores(
            {points[point]: score for point, score in scores.items()},
            query_truncated=encoding.truncated,
        )

    def embedder(self) -> Encoder:
        """Return the encoder; raise ConfigError for an index without vectors."""
        encoder = self._encoder.get()
        if encoder is None:
            raise ConfigError("the index was made without an encoder: it has no vectors")
        return encoder

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries; raise ConfigError for an index without vectors."""
        return self.embedder().embed_queries(queries)

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count those of which the encoder reads only the beginning."""
        encoder = self._encoder.get()
        return sum(truncates(encoder, query) for query in queries)

    def nearest(
        self, vector: Vectors, *, top_k: int, hnsw_ef: int | None
    ) -> list[tuple[str, float]]:
        """Find (document id, cosine); without `hnsw_ef`, by comparing with every vector."""
        request = requests.nearest_request(vector, limit=top_k, hnsw_ef=hnsw_ef)
        with self._shard.use() as shard:
            return requests.neighbours(shard.query(request))

    def _encode(self, query: str, *, max_sim: bool) -> tuple[Vectors | None, Vectors | None, bool]:
        """Encode a query as far as is needed: vector, tokens' vectors, whether it was cut."""
        encoder = self._encoder.get() if max_sim or DENSE in self._rankings else None
        if encoder is None:
            return None, None, False
        if not max_sim:
            return query_vector(encoder, query), None, truncates(encoder, query)
        encoding = query_encoding(encoder, query, dimension=self._encoder.token_dimension)
        vector = encoding.vector if DENSE in self._rankings else None
        return vector, encoding.tokens, encoding.truncated


def scroll(use: Callable[[], AbstractContextManager[edge.EdgeShard]]) -> Iterator[Document]:
    """Iterate over all documents, each once, in no particular order; a turn for each page."""
    offset = None
    while True:
        request = edge.ScrollRequest(
            offset=offset, limit=_PAGE, with_payload=requests.DOCUMENT_ONLY
        )
        with use() as shard:
            records, offset = shard.scroll(request)
        yield from (requests.document(each.payload or {}) for each in records)
        if offset is None:
            return


def retrieve(shard: edge.EdgeShard, points: Sequence[str]) -> Mapping[str, Document]:
    """Fetch the documents of points; unknown points are absent."""
    records = shard.retrieve(list(points), requests.DOCUMENT_ONLY, False)
    return {str(each.id): requests.document(each.payload or {}) for each in records}


def dense_vectors(shard: edge.EdgeShard, ids: Sequence[str]) -> dict[str, Vectors]:
    """Fetch the vectors that documents, which must be there, are searched by."""
    of = {point_id(id_): id_ for id_ in ids}
    records = shard.retrieve(list(of), False, [DENSE])
    return {of[str(each.id)]: requests.dense_vector(each) for each in records}
