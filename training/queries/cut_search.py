"""A search as it would be if its queries' spans were not in the documents they came from.

What is embedded and indexed holds the spans. So a hit that a query came from is scored anew by
what is left of it, and moved down to where that score stands among the other hits, which keep
their scores and their order. This is the only place where text is embedded again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import islice
from math import inf, log
from typing import Any, Self

import numpy as np

from retrieve_rerank.base import Connector, Embedding, Filter, IndexReport, IndexSchema
from retrieve_rerank.connectors.hybrid import DENSE
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.fusion import weighted
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.queries.cut_max_sim import CutMaxSim
from retrieve_rerank.training.queries.cuts import Cut, Cuts, same_title, without, without_like
from retrieve_rerank.types import Candidates, Document, Hit, Placement, rank

_SAMPLE = 500
"""Documents that language and average length are told from."""

MOST_COUNTED = 50_000
"""Documents that words are counted in; of a larger index a share, drawn by a hash of the ids."""


def without_spans(retriever: Retriever, queries: Mapping[str, str], cuts: Cuts) -> Retriever:
    """Return a retriever that searches for these queries, by id -> text, in documents without
    their spans; for other queries, or where there are no cuts, it does what `retriever` does.

    Its hits' texts, scores and places are those to mine, train and measure with. Closing it closes
    the connector of both.
    """
    if not cuts.of:
        return retriever
    search = CutConnector(retriever.connector, queries, cuts)
    return Retriever(
        search,
        *(
            replace(stage, reranker=CutMaxSim(stage.reranker.connector, search.cut_hits))
            if isinstance(stage.reranker, DatabaseMaxSim)
            else stage
            for stage in retriever.stages
        ),
        candidates=retriever.candidates,
        top_k=retriever.top_k,
        deadline_s=retriever.deadline_s,
    )


class CutConnector(Connector):
    """A connector whose hits lack the spans that the query came from."""

    def __init__(self, connector: Connector, queries: Mapping[str, str], cuts: Cuts) -> None:
        self.inner = connector
        self._ids = {text: id_ for id_, text in queries.items()}
        self._words = _Words(connector, queries.values())
        self._spans = cuts.of
        self.cut_hits: dict[str, frozenset[str]] = {}
        """Query -> ids of the hits that a span was cut out of, when it was last searched for."""
        self.cuts: dict[str, dict[str, Cut]] = {}
        """Query id -> document id -> what is cut; not of queries whose documents stay whole."""
        for document, of in cuts.of.items():
            for query, cut in of.items():
                if query not in cuts.whole:
                    self.cuts.setdefault(query, {})[document] = cut

    @classmethod
    def connect(cls, url: str, **options: Any) -> Self:
        """Refuse: it stands around another connector."""
        raise ConfigError("a search without spans stands around another connector; there is no URL")

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Return at most `top_k` hits, best first, each without the query's span or one like it."""
        query_id = self._ids.get(query)
        cuts = self.cuts.get(query_id or "", {})
        wanted = top_k + len(cuts)  # as many may fall below
        hits = self.inner.search(query, top_k=wanted, filter=filter, timeout_s=timeout_s)
        if query_id is None or not cuts:
            return Candidates(hits[:top_k], notes=getattr(hits, "notes", ()))
        any_cut = next(iter(cuts.values()))
        others, moved = [], []
        for hit in hits:
            cut = cuts.get(hit.document.id)
            if any_cut.source == "title" and same_title(hit.document, any_cut.span):
                cut = any_cut  # in a further passage of the document
            if cut is not None:
                moved.append(self._scored(query, hit, cut))
            else:
                left = without_like(hit.document, any_cut.source, query_id=query_id)
                others.append(replace(hit, document=left))
        self.cut_hits[query] = frozenset(hit.document.id for hit in moved)
        placed = _placed(others, moved)[:top_k]
        return Candidates(placed, notes=getattr(hits, "notes", ()))

    def _scored(self, query: str, hit: Hit, cut: Cut) -> Hit:
        """Score what is left of a document in each ranking that it stood in."""
        left = without(hit.document, cut)
        before, after = (Template().render(each) for each in (hit.document, left))
        sources = {}
        for name, placement in (hit.sources or _unnamed(hit)).items():
            if name == DENSE:
                score = self._cosine(query, after)
            else:
                whole = self._words.score(query, before)
                score = placement.score * self._words.score(query, after) / whole if whole else 0.0
                if score <= 0:
                    continue  # as a document that has none of the query's words
            sources[name] = placement._replace(score=min(score, placement.score))
        return replace(hit, document=left, sources=sources)

    def _cosine(self, query: str, text: str) -> float:
        if not isinstance(self.inner, Embedding):
            raise ConfigError(
                f"{type(self.inner).__name__} does not tell which model its vectors are of, so that"
                " the texts that queries were cut from cannot be scored; search it by words alone"
            )
        encoder = self.inner.embedder()
        one, other = encoder.embed_queries([query])[0], encoder.embed_documents([text])[0]
        return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))

    def index(
        self, documents: Iterable[Document], *, on_progress: Callable[[int], None] | None = None
    ) -> IndexReport:
        """Add documents to the index itself."""
        return self.inner.index(documents, on_progress=on_progress)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents of the index itself."""
        return self.inner.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return documents without any query's span: for which they are read is not known."""
        found = self.inner.get(ids)
        return [reduce(without, self._spans.get(each.id, {}).values(), each) for each in found]

    def resolve_ids(self, ids: Sequence[str]) -> dict[str, str]:
        """Return id -> id in hits, as the index does."""
        return self.inner.resolve_ids(ids)

    def scan(self) -> Iterator[Document]:
        """Iterate over all documents as they are."""
        return self.inner.scan()

    def count(self) -> int:
        """Return the number of documents."""
        return self.inner.count()

    def schema(self) -> IndexSchema:
        """Describe the index."""
        return self.inner.schema()

    def close(self) -> None:
        """Close the index."""
        self.inner.close()


class _Words:
    """BM25 of texts that are not in the index: how much of a score is left when words are.

    Only shares are taken of it, so that another analyzer or other parameters of the backend
    matter little.
    """

    def __init__(self, connector: Connector, queries: Iterable[str]) -> None:
        self._connector = connector
        self._queries = list(queries)
        self._fitted: tuple[Bm25, Counter[int], int] | None = None

    def score(self, query: str, text: str) -> float:
        """Score a text; the first call reads through the index, for how rare the words are."""
        if self._fitted is None:
            self._fitted = self._fit()
        bm25, frequency, documents = self._fitted
        weights = bm25.document(text)
        return sum(
            count * weights[term] * log(1 + (documents - n + 0.5) / (n + 0.5))
            for term, count in bm25.query(query).items()
            if term in weights
            for n in [min(frequency[term], documents)]
        )

    def _fit(self) -> tuple[Bm25, Counter[int], int]:
        one_in = max(1, self._connector.count() // MOST_COUNTED)
        texts = (
            Template().render(document)
            for document in self._connector.scan()
            if one_in == 1 or digest(document.id) % one_in == 0
        )
        sample = list(islice(texts, _SAMPLE))
        bm25 = Bm25.fit(sample)
        wanted = {term for query in self._queries for term in bm25.query(query)}
        frequency: Counter[int] = Counter()
        documents = 0
        for text in (*sample, *texts):
            documents += 1
            frequency.update(wanted & bm25.document(text).keys())
        return bm25, frequency, documents


def _placed(others: Sequence[Hit], moved: Sequence[Hit]) -> list[Hit]:
    """Put hits with new scores among the others, which keep their order, and none above its old
    place; leave out those that stand in no ranking any more."""
    fused = _fused([*others, *moved])
    order = [((number, 0, 0.0), hit) for number, hit in enumerate(others, start=1)]
    for hit in (each for each in moved if each.sources):
        score = fused[hit.document.id]
        better = sum(fused.get(each.document.id, -inf) > score for each in others)
        before = sum(each.rank < hit.rank for each in others)
        order.append(((max(better, before), 1, -score), hit))
    placed: list[Hit] = []
    for place, (_, hit) in enumerate(sorted(order, key=lambda each: each[0]), start=1):
        score = min(hit.score, placed[-1].score) if placed else hit.score
        placed.append(replace(hit, rank=place, score=score))
    return placed


def _fused(hits: Sequence[Hit]) -> dict[str, float]:
    """Score hits by what they scored in each ranking, fused where there are several."""
    scored: defaultdict[str, list[tuple[Document, float]]] = defaultdict(list)
    for hit in hits:
        for name, placement in (hit.sources or _unnamed(hit)).items():
            scored[name].append((hit.document, placement.score))
    rankings = {name: rank(each) for name, each in scored.items()}
    [ranking] = rankings.values() if len(rankings) == 1 else [weighted(rankings)]
    return {hit.document.id: hit.score for hit in ranking}


def _unnamed(hit: Hit) -> dict[str, Placement]:
    """The ranking of a connector that does not tell what its own is made of: by words, as far as
    can be known."""
    return {"": Placement(hit.rank, hit.score)}
