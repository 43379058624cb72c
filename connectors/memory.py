"""An index in memory: exact, small, gone with its process. For tests and for reranking a list.

Knows nothing of files or servers.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import log
from typing import Any, Self

import numpy as np

from retrieve_rerank.base import Connector, Embedder, Filter, IndexReport, IndexSchema, Vectors
from retrieve_rerank.connectors.filters import Fields, add_fields, conditions, field_types, matches
from retrieve_rerank.connectors.hybrid import BM25, DENSE, DEPTH, Fusion, check_search
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.records import Record, record
from retrieve_rerank.template import Template
from retrieve_rerank.types import Document, Hit, rank


class MemoryConnector(Connector):
    """Documents in a list, ranked by BM25 and, given an encoder, by cosine too, fused.

    Every search compares with every document. Safe to share between threads.
    """

    def __init__(
        self, documents: Iterable[Document] = (), *, encoder: Embedder | None = None
    ) -> None:
        self._encoder = encoder
        self._entries: dict[str, tuple[Record, Vectors | None]] = {}
        self._view: _View | None = None
        self._lock = threading.Lock()
        self.index(documents)

    @classmethod
    def connect(cls, url: str, **options: Any) -> Self:
        """Make an empty index; `url` is memory://."""
        return cls(**options)

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Return at most `top_k` hits, best first; `timeout_s` has no use here."""
        check_search(query, top_k)
        view = self._current_view()
        wanted = conditions(filter, view.fields)
        scores: dict[str, Mapping[int, float]] = {BM25: view.bm25_scores(query)}
        if self._encoder is not None:
            scores[DENSE] = view.cosines(self._encoder.embed_queries([query])[0])
        kept = [i for i, each in enumerate(view.records) if matches(each.metadata, wanted)]
        rankings = {
            name: rank(
                ((view.records[i].document, found[i]) for i in kept if i in found),
                top_k=max(top_k, DEPTH),
            )
            for name, found in scores.items()
        }
        return Fusion().fuse(rankings, top_k=top_k)

    def index(
        self,
        documents: Iterable[Document],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Add the documents, replacing those with the same id; all are encoded at once."""
        given = [record(document) for document in documents]
        latest = {each.id: each for each in given}
        new = [each for each in latest.values() if not self._holds(each)]
        vectors: Sequence[Vectors | None] = [None] * len(new)
        if new and self._encoder is not None:
            texts = [Template().render(each.document) for each in new]
            vectors = list(self._encoder.embed_documents(texts))
        with self._lock:
            self._entries.update(
                (each.id, (each, vector)) for each, vector in zip(new, vectors, strict=True)
            )
            self._view = None
        if on_progress and given:
            on_progress(len(given))
        return IndexReport(indexed=len(new), unchanged=len(latest) - len(new))

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids; return how many there were."""
        with self._lock:
            self._view = None
            return sum(self._entries.pop(id_, None) is not None for id_ in ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""
        return [self._entries[id_][0].document for id_ in ids if id_ in self._entries]

    def scan(self) -> Iterator[Document]:
        """Iterate over all documents, each once, in the order they came."""
        return iter([each.document for each in self._current_view().records])

    def count(self) -> int:
        """Return the number of documents."""
        return len(self._entries)

    def schema(self) -> IndexSchema:
        """Describe the index."""
        view = self._current_view()
        return IndexSchema(
            connector="memory",
            location="memory",
            documents=len(view.records),
            rankings=(BM25, DENSE) if self._encoder else (BM25,),
            encoder=self._encoder.name if self._encoder else None,
            dimension=self._encoder.dimension if self._encoder else None,
            fields=field_types(view.fields),
            details={"language": view.bm25.language},
        )

    def _holds(self, new: Record) -> bool:
        old = self._entries.get(new.id)
        return old is not None and old[0].content_hash == new.content_hash

    def _current_view(self) -> _View:
        with self._lock:
            if self._view is None:
                self._view = _View(list(self._entries.values()))
            return self._view


class _View:
    """What a search needs of the documents as they were at one moment."""

    def __init__(self, entries: Sequence[tuple[Record, Vectors | None]]) -> None:
        self.records = [each for each, _ in entries]
        self.fields: Fields = {}
        for each in self.records:
            add_fields(self.fields, each.metadata)
        self.vectors = [vector for _, vector in entries if vector is not None]
        texts = [Template().render(each.document) for each in self.records]
        self.bm25 = Bm25.fit(texts)
        self.postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for i, text in enumerate(texts):
            for term, weight in self.bm25.document(text).items():
                self.postings[term].append((i, weight))

    def bm25_scores(self, query: str) -> Mapping[int, float]:
        """Score the documents that share a term with the query."""
        scores: dict[int, float] = defaultdict(float)
        for term, count in self.bm25.query(query).items():
            found = self.postings.get(term, ())
            idf = log(1 + (len(self.records) - len(found) + 0.5) / (len(found) + 0.5))
            for i, weight in found:
                scores[i] += count * idf * weight
        return scores

    def cosines(self, query: Vectors) -> Mapping[int, float]:
        """Score all documents."""
        if not self.vectors:
            return {}
        rows = np.stack(self.vectors)  # (documents, dim)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        return dict(enumerate((rows @ query / np.maximum(lengths, 1e-12)).tolist()))
