"""Searching: the query encoded, one request to the server, its rankings fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from retrieve_rerank.base import Filter, Vectors
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.connectors.analysis import analyse
from retrieve_rerank.connectors.elasticsearch import requests
from retrieve_rerank.connectors.elasticsearch.client import Request, Steps
from retrieve_rerank.connectors.elasticsearch.errors import TooManyWordsError
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.long_queries import Words, shortened
from retrieve_rerank.connectors.elasticsearch.opening import Opened
from retrieve_rerank.connectors.elasticsearch.requests import Body
from retrieve_rerank.connectors.elasticsearch.responses import hits_of, ranking, similarity
from retrieve_rerank.connectors.elasticsearch.target import Hit as RawHit
from retrieve_rerank.connectors.elasticsearch.target import Target
from retrieve_rerank.connectors.elasticsearch.versions import ENTERPRISE_LICENSES, ask_license
from retrieve_rerank.connectors.hybrid import BM25, DENSE, DEPTH, SPARSE, checked_query
from retrieve_rerank.connectors.lexical import LEFT_OUT, NOTHING_TO_FIND
from retrieve_rerank.connectors.sparse_encoder import SparseQueryEncoder
from retrieve_rerank.errors import (
    LicenseError,
    UnknownFieldError,
    UnsupportedServerError,
)
from retrieve_rerank.text.truncation import truncates
from retrieve_rerank.types import Candidates, Hit


class Searcher:
    """Answers queries; safe to share between threads and event loops."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._options = target.options
        self._fusion, self._knn = target.options.fusion, target.options.knn
        self._sparse_encoder = SparseQueryEncoder(target.options.sparse_encoder)
        self._may_fuse = False

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None,
        timeout_s: float | None,
        vector: Vectors | None = None,
    ) -> Steps[Candidates]:
        """Search by the rankings in use; `vector` is the query's, where it is known already."""
        query = checked_query(query, top_k)
        first = self._target.opened

        def search(opened: Opened) -> Steps[tuple[Candidates, list[list[RawHit]]]]:
            # A vector made for what the address stood for before need not fit.
            known = vector if opened is first else None
            words = Words(query)
            while True:
                work = self._search(opened, query, words, top_k, filter, timeout_s, known)
                try:
                    return (yield from work)
                except TooManyWordsError as exc:
                    fields = max(1, len(opened.layout.lexical))
                    words = shortened(query, words, exc, fields=fields)

        return (yield from self._target.settled(search))

    def _search(
        self,
        opened: Opened,
        query: str,
        words: Words,
        top_k: int,
        filter: Filter | None,
        timeout_s: float | None,
        vector: Vectors | None,
    ) -> Steps[tuple[Candidates, list[list[RawHit]]]]:
        deadline = Deadline(timeout_s)
        clauses, opened = yield from self._clauses(opened, filter)
        layout, names = opened.layout, self._options.rankings(opened)
        if DENSE in names and layout.vector is not None and vector is None:
            vector = yield partial(opened.encoder.embed, query, layout.vector.dimension)
        weights: Mapping[str, float] = {}
        if SPARSE in names and layout.sparse is not None:
            weights = yield partial(self._weigh, query)
        notes = self._notes(layout, query) if BM25 in names else ()
        notes += (words.note,) if words.note else ()
        cut = yield partial(self._truncates, opened, query, names)
        depth = min(max(top_k, DEPTH), opened.index.max_result_window)
        parts = {
            name: part
            for name in names
            if (
                part := self._part(layout, name, query, words.text, vector, weights, clauses, depth)
            )
            is not None
        }
        if not parts:
            return Candidates(), []
        left_s = deadline.left_s
        if self._fusion.by_server and len(parts) > 1:
            found = yield from self._fused(opened, parts, top_k, depth, left_s)
            hits = ranking(found, layout)
            return Candidates(hits, notes=notes, query_truncated=cut), [found]
        bodies = [
            requests.search_body(part, size=depth, source=layout.source, timeout_s=left_s)
            for part in parts.values()
        ]
        answer = yield requests.search(opened.name, bodies)
        answers = answer["responses"] if len(bodies) > 1 else [answer]
        raw = [hits_of(each, opened.location) for each in answers]
        rankings: dict[str, Sequence[Hit]] = {
            name: ranking(hits, layout, convert=self._convert(layout, name))
            for name, hits in zip(parts, raw, strict=True)
        }
        rankings = {name: rankings.get(name, []) for name in names}
        fused = self._fusion.fuse(rankings, top_k=top_k, depth=depth)
        return Candidates(fused, notes=notes, query_truncated=cut), raw

    def _part(
        self,
        layout: Layout,
        ranking: str,
        query: str,
        words: str,
        vector: Vectors | None,
        weights: Mapping[str, float],
        clauses: Sequence[Body],
        depth: int,
    ) -> Body | None:
        """Word one ranking's search; None where nothing of the query is left to search for."""
        if ranking == BM25:
            return {"query": requests.filtered(requests.lexical_query(layout, words), clauses)}
        if ranking == DENSE and layout.vector is not None and vector is not None:
            if not layout.vector.searchable:
                return {"query": requests.exact_query(layout.vector, vector, clauses)}
            clause = requests.knn_clause(
                layout.vector,
                vector,
                k=depth,
                settings=self._knn,
                filter=clauses,
                layout=layout,
            )
            return {"knn": clause}
        if ranking == SPARSE and layout.sparse is not None:
            if not weights:
                return None
            found = requests.sparse_query(layout.sparse, weights)
            return {"query": requests.filtered(found, clauses)}
        if layout.semantic is not None:
            found = requests.semantic_query(layout.semantic, query)
            return {"query": requests.filtered(found, clauses)}
        return None

    def _convert(self, layout: Layout, ranking: str) -> Callable[[float], float] | None:
        """Return what makes similarities of a ranking's scores; None where it has none."""
        if ranking != DENSE:
            return None
        measure = layout.vector.similarity if layout.vector else None
        if measure is None and layout.semantic is not None:
            measure = layout.semantic.similarity
        return partial(similarity, measure=measure or "cosine")

    def _fused(
        self,
        opened: Opened,
        parts: Mapping[str, Body],
        top_k: int,
        depth: int,
        timeout_s: float | None,
    ) -> Steps[list[RawHit]]:
        """Have the server fuse; raise LicenseError where its licence does not allow that."""
        if not self._may_fuse:
            license = yield from ask_license()
            if license is not None and license not in ENTERPRISE_LICENSES:
                raise LicenseError(
                    f"{opened.location} has a {license} licence; {self._fusion.method} needs "
                    "an Enterprise one. The fusions weighted and rrf work on any"
                )
            self._may_fuse = True
        self._require_fusion(opened)
        part = requests.fused_by_server(self._fusion, parts, depth=depth)
        body = requests.search_body(
            part, size=top_k, source=opened.layout.source, timeout_s=timeout_s
        )
        answer = yield requests.search(opened.name, [body])
        return hits_of(answer, opened.location)

    def _require_fusion(self, opened: Opened) -> None:
        """Raise UnsupportedServerError where the server is too old for the fusion asked for."""
        linear = self._fusion.method == "server-linear"
        weighs = any(weight not in (0.0, 1.0) for weight in self._fusion.weights.values())
        since = (8, 18) if linear else (9, 3) if weighs else (8, 16)
        if not opened.server.has(*since):
            what = "weights in server-rrf" if weighs and not linear else self._fusion.method
            raise UnsupportedServerError(
                f"{what} needs Elasticsearch {'.'.join(map(str, since))}; {opened.location} "
                f"runs {opened.server.version or 'an unknown release'}"
            )

    def _clauses(self, opened: Opened, filter: Filter | None) -> Steps[tuple[list[Body], Opened]]:
        """Word a filter; a field that is not known may have come since."""
        if not filter:
            return [], opened
        try:
            return opened.filters.clauses(filter), opened
        except UnknownFieldError:
            opened = yield from self._target.reread()
            return opened.filters.clauses(filter), opened

    def _notes(self, layout: Layout, query: str) -> tuple[str, ...]:
        """Say why a query has nothing to search our own texts for, where it has not."""
        terms = analyse(query, layout.language)
        if not layout.own or terms.content or terms.symbols:
            return ()
        if not terms.stop_words:
            return (NOTHING_TO_FIND,)
        return () if layout.every_word else (LEFT_OUT,)

    def _truncates(self, opened: Opened, query: str, names: Sequence[str]) -> bool:
        """Tell whether a model that runs here reads only the beginning of a query."""
        layout = opened.layout
        models = [
            opened.encoder.load() if DENSE in names and layout.vector else None,
            self._sparse_encoder.load() if SPARSE in names and layout.sparse else None,
        ]
        return any(truncates(model, query) for model in models)

    def _weigh(self, query: str) -> dict[str, float]:
        """Weigh a query's tokens by the learned sparse encoder, loaded when first needed."""
        encoder: Any = self._sparse_encoder.load()
        [weights] = encoder.encode_queries([query])
        names = encoder.tokens(list(weights))
        return dict(zip(names, weights.values(), strict=True))


def count(opened: Opened) -> Steps[int]:
    """Count the documents."""
    answer = yield Request("GET", f"/{requests.quoted(opened.name)}/_count")
    return int(answer["count"])
