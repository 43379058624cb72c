"""An index in memory: exact, small, gone with its process. For tests and for reranking a list."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import log
from typing import Any, Self

import numpy as np

from retrieve_rerank.base import (
    Embedder,
    Embedding,
    Filter,
    IndexReport,
    IndexSchema,
    MaxSimScores,
    TensorSearch,
    TensorSettings,
    TensorStore,
    TokenTensor,
    Vectors,
)
from retrieve_rerank.connectors.encoder_output import check_vectors, query_vector
from retrieve_rerank.connectors.field_types import Fields, add_fields, field_types
from retrieve_rerank.connectors.filters import KnownFields, clauses, matches
from retrieve_rerank.connectors.hybrid import BM25, DENSE, DEPTH, Fusion, checked_query
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.records import Record, record
from retrieve_rerank.connectors.tensor_encoder import TensorEncoder
from retrieve_rerank.connectors.tensors import check_same_settings, pack, score
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.text.template import Template
from retrieve_rerank.text.truncation import truncates
from retrieve_rerank.types import Candidates, Document, Hit, rank


class MemoryConnector(TensorStore, Embedding):
    """Documents in a list, ranked by BM25 and, given an encoder, by cosine too, fused.

    Every search compares with every document. Token tensors lie beside the documents; one that
    is replaced keeps its old tensor. Safe to share between threads.
    """

    def __init__(
        self, documents: Iterable[Document] = (), *, encoder: Embedder | None = None
    ) -> None:
        self._encoder = encoder
        self._entries: dict[str, tuple[Record, Vectors | None]] = {}
        self._view: _View | None = None
        self._lock = threading.Lock()
        self._tensor_settings: TensorSettings | None = None
        self._tensors: dict[str, tuple[str, bytes]] = {}  # id -> hash of its text, packed
        self._tensor_encoder = TensorEncoder()
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
        query = checked_query(query, top_k)
        view = self._current_view()
        wanted = clauses(filter, KnownFields(view.fields))
        scores: dict[str, Mapping[int, float]] = {BM25: view.bm25_scores(query)}
        if self._encoder is not None:
            scores[DENSE] = view.cosines(query_vector(self._encoder, query))
        kept = [i for i, each in enumerate(view.records) if matches(each.metadata, wanted)]
        depth = max(top_k, DEPTH)
        rankings = {
            name: rank(
                ((view.records[i].document, found[i]) for i in kept if i in found), top_k=depth
            )
            for name, found in scores.items()
        }
        fused = Fusion().fuse(rankings, top_k=top_k, depth=depth)
        hits = [replace(hit, document=_copy(hit.document)) for hit in fused]
        notes = view.bm25.notes(query)
        return Candidates(hits, notes=notes, query_truncated=truncates(self._encoder, query))

    def search_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Search, and score the hits by MaxSim."""
        hits = self.search(query, top_k=top_k, filter=filter, timeout_s=timeout_s)
        return TensorSearch(hits, self.max_sim(query, [hit.document.id for hit in hits]))

    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        """Score these documents; those without token tensors are absent from the answer."""
        query = checked_query(query)
        settings = self._tensor_settings
        packed = {id_: self._tensors[id_][1] for id_ in ids if id_ in self._tensors}
        if settings is None or not packed:
            return {}
        asked = self._tensor_encoder.encode(query, settings, embedder=self._encoder)
        scores = score(
            asked.tokens, list(packed.values()), dimension=settings.dimension, dtype=settings.dtype
        )
        return MaxSimScores(dict(zip(packed, scores, strict=True)), query_truncated=asked.truncated)

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
        vectors: Sequence[Vectors] | Sequence[None] = [None] * len(new)
        if new and self._encoder is not None:
            texts = [Template().render(each.document) for each in new]
            vectors = list(self._encoder.embed_documents(texts))
            for each, vector in zip(new, vectors, strict=True):
                check_vectors(
                    vector,
                    of=f"document {each.id!r}",
                    encoder=self._encoder.name,
                    dimension=self._encoder.dimension,
                )
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
            for id_ in ids:
                self._tensors.pop(id_, None)
            return sum(self._entries.pop(id_, None) is not None for id_ in ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""
        return [_copy(self._entries[id_][0].document) for id_ in ids if id_ in self._entries]

    def scan(self) -> Iterator[Document]:
        """Iterate over all documents, each once, in the order they came."""
        return (_copy(each.document) for each in self._current_view().records)

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
            token_tensors=bool(self._tensors),
            fields=field_types(view.fields),
            language=view.bm25.language,
        )

    def embedder(self) -> Embedder:
        """Return the encoder; raise ConfigError where there is none."""
        if self._encoder is None:
            raise ConfigError("the index was made without an encoder: it has no vectors")
        return self._encoder

    def tensor_settings(self) -> TensorSettings | None:
        """Tell how the tensors that are there were made; None where there are none."""
        return self._tensor_settings

    def create_tensors(self, settings: TensorSettings, *, companion: bool | None = None) -> None:
        """Make room for tensors; raise IndexMismatchError where tensors of other settings are."""
        if companion:
            raise ConfigError("an index in memory keeps token tensors itself, not beside it")
        check_same_settings("the index", self._tensor_settings, settings)
        self._tensor_settings = settings

    def tensor_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a tensor."""
        return {id_: self._tensors[id_][0] for id_ in ids if id_ in self._tensors}

    def write_tensors(self, tensors: Sequence[TokenTensor]) -> None:
        """Store tensors, replacing those of the same documents."""
        if self._tensor_settings is None:
            raise ConfigError("there is no room for token tensors; create_tensors makes it")
        dtype = self._tensor_settings.dtype
        self._tensors.update(
            (each.id, (each.content_hash, pack(each.tokens, dtype))) for each in tensors
        )

    def tensor_ids(self) -> Iterator[str]:
        """Iterate over the ids that have a tensor."""
        return iter(list(self._tensors))

    def delete_tensors(self, ids: Sequence[str]) -> None:
        """Delete the tensors of these documents."""
        for id_ in ids:
            self._tensors.pop(id_, None)

    def drop_tensors(self) -> None:
        """Delete all tensors; the documents stay as they are."""
        self._tensors, self._tensor_settings = {}, None

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


def _copy(document: Document) -> Document:
    """Return what its receiver may change, metadata and all, without changing the index."""
    return replace(document, metadata=deepcopy(document.metadata))
