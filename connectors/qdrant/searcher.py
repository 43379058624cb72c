"""Searching a collection: the query encoded, its rankings asked for and fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from qdrant_client import models

from retrieve_rerank.base import (
    Encoding,
    Filter,
    MaxSimScores,
    TensorSearch,
    Vectors,
)
from retrieve_rerank.connectors.filters import Clause, clauses, field_names
from retrieve_rerank.connectors.hybrid import BM25, DENSE, DEPTH, checked_query
from retrieve_rerank.connectors.qdrant import requests
from retrieve_rerank.connectors.qdrant.byte_vectors import UINT8, Scale, ask_scale
from retrieve_rerank.connectors.qdrant.client import Notes, Steps
from retrieve_rerank.connectors.qdrant.collection import Collection
from retrieve_rerank.connectors.qdrant.encoding import QueryEncoding
from retrieve_rerank.connectors.qdrant.fetching import ask, bare, complete, max_sims
from retrieve_rerank.connectors.qdrant.filtering import (
    equal_alone,
    known_fields,
    look_for,
    served,
    worded,
)
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.payload_filter import payload_filter
from retrieve_rerank.connectors.qdrant.requests import EncodedQuery
from retrieve_rerank.connectors.qdrant.versions import METADATA, RRF_WEIGHTS
from retrieve_rerank.errors import (
    ConfigError,
    SchemaError,
    UnknownFieldError,
    UnsupportedServerError,
)
from retrieve_rerank.types import Candidates, Document, Hit

HNSW_EF = 256
"""Candidates that a walk of the graph keeps, as in the embedded index; Qdrant's own 100 lose
some of the first hundred hits."""

FUSED = "fused"
"""What the server's own fusion is called."""

OVERSAMPLE = 3.0
"""Candidates from quantised vectors for each hit, compared again at full precision: what Qdrant's
documentation recommends for the coarsest of them is 2 to 3."""


class Searcher:
    """Answers queries; safe to share between threads and tasks."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._options = collection.options
        self._server = collection.server
        self._encoding = QueryEncoding(collection.options)
        self._scale: tuple[tuple[object, ...], Scale | None] = ((), None)

    def search(
        self, query: str, *, top_k: int, filter: Filter | None, max_sim: bool
    ) -> Steps[TensorSearch]:
        """Search by the rankings in use; with `max_sim`, score the hits by it too."""
        query = checked_query(query, top_k)

        def search(state: State) -> Steps[tuple[TensorSearch, list[Document]]]:
            found = yield from self._search(state, query, top_k, filter, max_sim=max_sim)
            return found, [hit.document for hit in found.hits]

        return (yield from self._collection.settled(search))

    def _search(
        self, state: State, query: str, top_k: int, filter: Filter | None, *, max_sim: bool
    ) -> Steps[TensorSearch]:
        wanted, state = yield from self._clauses(state, filter)
        used = self._used(state)
        if not used:
            return TensorSearch(Candidates(), {})
        scale = (yield from self.scale(state)) if DENSE in used else None
        asked: EncodedQuery = yield partial(
            self._encoding.query, state, query, used, scale, max_sim=max_sim
        )
        by_words = worded(wanted, state)
        fetched = max(top_k, DEPTH) if by_words else top_k
        wordings, notes = self._word(state, asked, served(wanted, state), top_k=fetched)
        # Of one ranking the hits are known at once; of several, when they are fused.
        beside = state.words_beside is not None and BM25 in wordings
        late = asked.tokens is not None or len(wordings) > 1 or beside
        found, cut_short = yield from ask(state, wordings, with_payload=not late)
        notes += cut_short
        document = bare if late else state.layout.document
        hits = self._fuse(state, found, used, document, top_k=fetched)
        scores: dict[str, float] = {}
        ms = 0.0
        if late:
            hits, scores, ms = yield from complete(state, hits, found, asked.tokens)
        if by_words:
            hits, left_out = equal_alone(hits, wanted, by_words, top_k=top_k)
            notes += left_out
        said = yield Notes()
        return TensorSearch(
            Candidates(hits, notes=(*asked.notes, *notes, *said), query_truncated=asked.cut),
            MaxSimScores(scores, query_truncated=asked.tokens_cut, ms=ms),
        )

    def max_sim(self, query: str, ids: Sequence[str]) -> Steps[dict[str, float]]:
        """Score these documents; those without token tensors are absent."""
        query = checked_query(query)

        def score(state: State) -> Steps[tuple[dict[str, float], None]]:
            return (yield from self._max_sim(state, query, ids)), None

        return (yield from self._collection.settled(score))

    def _max_sim(self, state: State, query: str, ids: Sequence[str]) -> Steps[dict[str, float]]:
        named = {state.layout.point_id(each): each for each in ids}
        points = {point: id_ for point, id_ in named.items() if point is not None}
        tensors = state.tensors
        if not points or tensors is None:
            return {}
        encoding: Encoding = yield partial(self._encoding.tokens, state, query, tensors.settings)
        scored = yield from max_sims(state, encoding.tokens, list(points), with_payload=False)
        means = requests.mean_max_sims(scored, encoding.tokens)
        found = {points[point]: score for point, score in means.items()}  # type: ignore[index]  # none is a UUID
        return MaxSimScores(found, query_truncated=encoding.truncated)

    def scale(self, state: State) -> Steps[Scale | None]:
        """Tell how a query is scaled for vectors of bytes, looked up once; None for others."""
        field = state.layout.dense
        if field is None or field.element_type != UINT8 or self._server.local:
            return None  # local mode keeps all vectors as they come
        known, scale = self._scale
        if known != state.searched_by:
            scale = yield from ask_scale(state, field)
            self._scale = state.searched_by, scale
        return scale

    def embed(self, queries: Sequence[str]) -> Steps[Vectors]:
        """Embed queries as searches do; (n, dim)."""
        state = self._collection.state
        scale = yield from self.scale(state)
        vectors: Vectors = yield lambda: state.encoder.load().embed_queries(queries)
        return scale.bytes(vectors) if scale else vectors

    def params(
        self,
        state: State,
        *,
        depth: int,
        hnsw_ef: float | None = None,
        oversample: float | None = None,
    ) -> models.SearchParams | None:
        """Word how the graph is walked; None in local mode, which compares with every vector."""
        field, limits = state.layout.dense, state.limits
        if self._server.local or field is None:
            return None
        ef = hnsw_ef or self._options.hnsw_ef or HNSW_EF
        given = oversample if oversample is not None else self._options.oversample
        factor = OVERSAMPLE if given is None else given
        return requests.search_params(
            hnsw_ef=int(min(max(ef, depth), limits.hnsw_ef)),
            quantized=field.quantization is not None,
            oversample=min(factor, limits.oversampling),
        )

    def _used(self, state: State) -> list[str]:
        """List the rankings to search by; raise SchemaError where nothing can be searched."""
        if not state.rankings and not state.empty:
            raise SchemaError(
                f"nothing in {self._server.location} can be searched by a text: name the encoder "
                "that its vectors were made with, with --encoder, or add a ranking by words, with "
                "rr lexical add; rr info tells more"
            )
        return [name for name in state.rankings if self._options.fusion.uses(name)]

    def _word(
        self, state: State, asked: EncodedQuery, wanted: Sequence[Clause], *, top_k: int
    ) -> tuple[dict[str, list[models.QueryRequest]], tuple[str, ...]]:
        """Word the rankings, or the one that the server makes of them, and say what limits it."""
        fusion = self._options.fusion
        depth, most = max(top_k, DEPTH), state.limits.query
        arguments: dict[str, Any] = {
            "filter": payload_filter(
                wanted,
                state.layout,
                indexes=None if state.limits.unindexed else state.info.payload_schema,
            ),
            "params": self.params(state, depth=depth),
        }
        rankings = requests.rankings(state.layout, asked, depth=depth, most=most, **arguments)
        notes: tuple[str, ...] = ()
        if fusion.by_server and len(rankings) > 1:
            if state.words_beside is not None and BM25 in rankings:
                raise ConfigError(
                    f"{fusion.method} fuses rankings of one collection, and BM25's weights are in "
                    f"{state.words_beside.collection}: leave out fusion.method"
                )
            weights = self._server_weights(state, list(rankings))
            fewer = int(min(depth, most))
            arguments |= {"depth": fewer, "weights": weights}
            rankings = {FUSED: [requests.fused_search(state.layout, asked, **arguments)]}
            if fewer < top_k:
                notes = (f"the server's strict mode lets it fuse {fewer} hits; {top_k} are wanted",)
        return rankings, notes

    def _server_weights(self, state: State, names: Sequence[str]) -> list[float] | None:
        """Word the fusion's weights; raise where the server is too old to fuse so."""
        fusion, version = self._options.fusion, state.version
        needed = RRF_WEIGHTS if fusion.weights else METADATA
        if version < needed:
            raise UnsupportedServerError(
                f"server-rrf{' with weights' if fusion.weights else ''} needs Qdrant "
                f"{needed[0]}.{needed[1]}; this is {version[0]}.{version[1]}"
            )
        return [fusion.weights.get(n, 1.0) for n in names] if fusion.weights else None

    def _fuse(
        self,
        state: State,
        found: Mapping[str, Sequence[models.ScoredPoint]],
        used: Sequence[str],
        document: Callable[[models.ScoredPoint], Document],
        *,
        top_k: int,
    ) -> list[Hit]:
        if FUSED in found:
            return requests.ranking(found[FUSED], document)[:top_k]
        dense = state.layout.dense
        similarity = {DENSE: dense.similarity} if dense else {}
        rankings = {
            name: requests.ranking(
                found.get(name, ()), document, similarity=similarity.get(name, "dot")
            )
            for name in used
        }
        fusion = self._options.fusion
        if fusion.by_server:  # of one ranking there is nothing to fuse
            fusion = replace(fusion, method="rrf")
        return fusion.fuse(rankings, top_k=top_k, depth=max(top_k, DEPTH))

    def _clauses(self, state: State, filter: Filter | None) -> Steps[tuple[list[Clause], State]]:
        """Check a filter; fields not known yet are looked for before they are called unknown."""
        try:
            wanted = clauses(filter, known_fields(state))
        except UnknownFieldError:
            if state.ours:
                state = yield from self._collection.refresh()
            else:
                for name in field_names(filter or {}):
                    if name not in state.fields:
                        learned = yield from look_for(state, name)
                        self._collection.put(state, learned)
                        state = learned
            wanted = clauses(filter, known_fields(state))
        return wanted, state
