"""A query in every form that a collection is searched by: vectors, words, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrieve_rerank.base import Encoding, TensorSettings, Vectors
from retrieve_rerank.connectors.hybrid import BM25, DENSE, SPARSE
from retrieve_rerank.connectors.qdrant.byte_vectors import Scale
from retrieve_rerank.connectors.qdrant.layout import Lexical
from retrieve_rerank.connectors.qdrant.opening import Options, State
from retrieve_rerank.connectors.qdrant.qdrant_bm25 import LEFT_OUT, query_terms
from retrieve_rerank.connectors.qdrant.requests import EncodedQuery
from retrieve_rerank.connectors.sparse_encoder import SparseQueryEncoder
from retrieve_rerank.connectors.tensor_encoder import TensorEncoder
from retrieve_rerank.text.truncation import truncates


class QueryEncoding:
    """Encodes queries; safe to share between threads."""

    def __init__(self, options: Options) -> None:
        self._tensor_encoder = TensorEncoder()
        self._sparse_encoder = SparseQueryEncoder(options.sparse_encoder)

    def query(
        self,
        state: State,
        query: str,
        used: Sequence[str],
        scale: Scale | None,
        *,
        max_sim: bool,
    ) -> EncodedQuery:
        """Encode a query as far as the rankings in use need it."""
        layout = state.layout
        dense: Vectors | None = None
        tokens: Vectors | None = None
        bm25: Mapping[int, float] | str | None = None
        sparse: Mapping[int, float] | None = None
        cut = tokens_cut = False
        notes: tuple[str, ...] = ()
        settings = state.tensors.settings if max_sim and state.tensors else None
        if settings is not None:
            embedder = _embedder(state) if DENSE in used else None
            encoding = self._tensor_encoder.encode(query, settings, embedder=embedder)
            tokens = encoding.tokens
            tokens_cut = encoding.truncated
            if self._tensor_encoder.gives_vectors_of(embedder, settings):
                dense = encoding.vector
        if DENSE in used and dense is None and layout.dense is not None:
            dense = state.encoder.embed(query, layout.dense.dimension)
        if dense is not None:
            cut = truncates(state.encoder.load(), query)
            dense = scale.bytes(dense) if scale else dense
        if BM25 in used and layout.lexical is not None:
            bm25 = _words(state, query, layout.lexical)
            if layout.lexical.kind == "own" and (ours := state.bm25):
                notes = ours.notes(query)
            elif not bm25:
                notes = (LEFT_OUT,)
        if SPARSE in used and (encoder := self._sparse_encoder.load()) is not None:
            [weights] = encoder.encode_queries([query])
            sparse = weights or None
            cut = cut or truncates(encoder, query)
        return EncodedQuery(dense, bm25, sparse, tokens, notes, cut, tokens_cut)

    def tokens(self, state: State, query: str, settings: TensorSettings) -> Encoding:
        """Encode a query as the token tensors were made."""
        return self._tensor_encoder.encode(query, settings, embedder=_embedder(state))


def _embedder(state: State) -> Any:
    return state.encoder.load() if state.encoder.exists else None


def _words(state: State, query: str, lexical: Lexical) -> Mapping[int, float] | str | None:
    """Word a query for the lexical ranking; None where none of its words count."""
    if lexical.kind == "text-index":
        return query
    if lexical.kind == "qdrant-bm25":
        return query_terms(query, lexical.tokens) or None
    bm25 = state.bm25
    return (bm25.query(query) or None) if bm25 else None
