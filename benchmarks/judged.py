"""Judged collections with everything a recipe is made of: encodings, rankings, grades.

Encodings are kept in a folder, as making them takes most of the time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrieve_rerank import Document, Hit, Template
from retrieve_rerank.base import Encoding, Vectors
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.evaluation.files import read_qrels, read_queries
from retrieve_rerank.models.encoders.encoder import TextEncoder
from retrieve_rerank.types import rank

DEPTH = 100
"""Hits of each ranking."""
BATCH = 512


class Choice(NamedTuple):
    """Which judged queries of a collection to take."""

    split: str
    sampled: int | None = None
    """At most so many, drawn at random."""
    first: int | None = None
    """The first so many of the file."""
    leave_out: str | None = None
    """Queries whose ids start with this."""


CHOOSING: Mapping[str, Choice] = {
    "scifact": Choice("train", sampled=300),
    "policyqa": Choice("train", sampled=300),
    "stackfaq": Choice("train", sampled=300),
    "wikiqa": Choice("train", sampled=300),
    # Its live_* questions are the test questions of liveqa-med.
    "mediqa2019": Choice("train", sampled=300, leave_out="live_"),
    "squadshifts-reddit": Choice("dev", sampled=300),
    "msmarco-train100": Choice("train"),
    "cacm": Choice("test"),  # it has no other split, and is not among the test collections
}
TEST: Mapping[str, Choice] = {
    "scifact": Choice("test"),
    "cranfield": Choice("test"),
    "covidqa": Choice("test", first=600),
    "policyqa": Choice("test", first=600),
    "liveqa-med": Choice("test"),
    "wikiqa": Choice("test"),
    "csfcube": Choice("test"),
    "stackfaq": Choice("test"),
}


class Tokens(Sequence[Vectors]):
    """Token vectors of many texts in one file of float16; texts come out as float32."""

    def __init__(self, stem: Path) -> None:
        self._rows = np.load(f"{stem}.tokens.npy", mmap_mode="r")
        self._offsets = np.load(f"{stem}.offsets.npy")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, i: Any) -> Any:
        return np.asarray(self._rows[self._offsets[i] : self._offsets[i + 1]], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Query:
    """A judged query with its two rankings."""

    text: str
    grades: Mapping[str, int]
    tokens: Vectors  # (m, dim)
    rankings: Mapping[str, list[Hit]]

    @property
    def candidates(self) -> set[str]:
        """Ids in either ranking."""
        return {hit.document.id for hits in self.rankings.values() for hit in hits}


@dataclass(frozen=True)
class Collection:
    """Documents, encoded, and the queries chosen among those that are judged."""

    name: str
    documents: Sequence[Document]
    vectors: Vectors  # (documents, dim)
    tokens: Tokens
    queries: Sequence[Query]

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Document id -> its place among documents, vectors and tokens."""
        return {document.id: i for i, document in enumerate(self.documents)}


def load(
    data: Path, cache: Path, encoder: TextEncoder, choices: Mapping[str, Choice]
) -> Iterator[Collection]:
    """Read and encode the chosen collections, one at a time; `data` holds BEIR folders."""
    for name, choice in choices.items():
        documents = list(Corpus([str(data / name)]))
        texts = [Template().render(document) for document in documents]
        stem = cache / encoder.fingerprint / name / "documents"
        _keep(stem, texts, encoder.encode_documents)
        vectors = np.load(f"{stem}.vectors.npy")
        qrels = read_qrels(data / name / "qrels" / f"{choice.split}.tsv.gz")
        queries = read_queries(data / name / "queries.jsonl.gz")
        bm25 = MemoryConnector(documents)
        chosen = choose(qrels, choice)
        encodings = encoder.encode_queries([queries[id_] for id_ in chosen])
        yield Collection(
            name,
            documents,
            vectors,
            Tokens(stem),
            [
                Query(
                    queries[id_],
                    qrels[id_],
                    encoding.tokens,
                    {
                        "dense": nearest(encoding, vectors, documents),
                        "bm25": bm25.search(queries[id_], top_k=DEPTH),
                    },
                )
                for id_, encoding in zip(chosen, encodings, strict=True)
            ],
        )


def sample_tokens(
    data: Path, cache: Path, encoder: TextEncoder, names: Sequence[str], *, count: int
) -> Vectors:
    """Encode the first `count` documents of each collection; all their tokens, (n, dim)."""
    found: list[Vectors] = []
    for name in names:
        stem = cache / encoder.fingerprint / name / "sample"
        documents = islice(Corpus([str(data / name)]), count)
        _keep(stem, [Template().render(each) for each in documents], encoder.encode_documents)
        found.extend(Tokens(stem))
    return np.concatenate(found)


def choose(qrels: Mapping[str, Mapping[str, int]], choice: Choice) -> list[str]:
    """Return the ids of the judged queries that a choice takes."""
    ids = [
        id_
        for id_, grades in qrels.items()
        if max(grades.values()) > 0 and not (choice.leave_out and id_.startswith(choice.leave_out))
    ][: choice.first]
    if choice.sampled is None or len(ids) <= choice.sampled:
        return ids
    return random.Random(0).sample(sorted(ids), choice.sampled)


def nearest(encoding: Encoding, vectors: Vectors, documents: Sequence[Document]) -> list[Hit]:
    """Rank the documents nearest to a query, exactly."""
    cosines = vectors @ encoding.vector
    best = np.argsort(-cosines, kind="stable")[:DEPTH]
    return rank((documents[i], float(cosines[i])) for i in best)


def _keep(stem: Path, texts: Sequence[str], encode: Any) -> None:
    """Encode the texts into files, unless they are there."""
    last = Path(f"{stem}.offsets.npy")  # written last: where it is, the others are whole
    if last.exists():
        return
    stem.parent.mkdir(parents=True, exist_ok=True)
    vectors: list[Vectors] = []
    lengths = [0]
    rows: list[Any] = []
    for start in range(0, len(texts), BATCH):
        for encoding in encode(texts[start : start + BATCH]):
            vectors.append(encoding.vector)
            rows.append(encoding.tokens.astype(np.float16))
            lengths.append(len(encoding.tokens))
    np.save(f"{stem}.vectors.npy", np.stack(vectors))
    np.save(f"{stem}.tokens.npy", np.concatenate(rows))
    np.save(last, np.cumsum(lengths))
