"""The embedded index as a connector: one folder, one process at a time, many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import qdrant_edge as edge

from retrieve_rerank.base import (
    Encoder,
    Filter,
    Graph,
    IndexReport,
    IndexSchema,
    Knob,
    TensorConnector,
    TensorSearch,
    Vectors,
    VectorSearch,
    Verifiable,
    Verification,
)
from retrieve_rerank.connectors.embedded import requests
from retrieve_rerank.connectors.embedded.description import describe
from retrieve_rerank.connectors.embedded.encoding import IndexEncoder
from retrieve_rerank.connectors.embedded.folder import (
    IndexFolder,
    closed_on_error,
    folder_of,
    new_folder,
    open_folder,
    second_folder,
)
from retrieve_rerank.connectors.embedded.manifest import Manifest
from retrieve_rerank.connectors.embedded.searcher import Searcher, retrieve
from retrieve_rerank.connectors.embedded.settings import EmbeddedSettings
from retrieve_rerank.connectors.embedded.shard import create_shard, require_space
from retrieve_rerank.connectors.embedded.shared import SharedShard, count, open_whole
from retrieve_rerank.connectors.embedded.verifying import verify
from retrieve_rerank.connectors.embedded.writer import Writer
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.errors import ConfigError, IndexNotFoundError, NotPicklableError
from retrieve_rerank.types import Document, Hit

LOCK_TIMEOUT_S = 10.0

_PAGE = 256  # points read at once when walking over all
_GRAPH_FROM_BYTES = 10_000 << 10  # of vectors; the engine makes no graph below


class EmbeddedConnector(TensorConnector, VectorSearch, Verifiable):
    """An index in a folder of this machine, ranked by BM25 and, with an encoder, by vectors.

    Only one process can have it open; threads of that process share one connector. Documents are
    found from the moment they are written, by exact comparison until `optimize` makes the graph.
    """

    def __init__(
        self,
        folder: IndexFolder,
        shard: edge.EdgeShard,
        *,
        encoder: IndexEncoder,
        fusion: Fusion,
        hnsw_ef: int = requests.HNSW_EF,
    ) -> None:
        """Use `create`, `recreate` or `connect` instead."""
        self._folder = folder
        self._shard = SharedShard(folder, shard)
        self._searcher = Searcher(folder.manifest, self._shard, encoder, fusion, hnsw_ef)
        self._writer = Writer(folder, self._shard, encoder)

    @classmethod
    def create(
        cls,
        url: str | Path,
        *,
        encoder: Encoder | None,
        language: str | None = None,
        settings: EmbeddedSettings | None = None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        **options: Any,
    ) -> Self:
        """Make an empty index in a new or empty folder; None as encoder makes it lexical only.

        Raises IndexExistsError where the folder holds anything else, and IndexCorruptError where
        it holds an index whose manifest is gone.
        """
        _refuse(options)
        manifest = _new_manifest(encoder, language, settings)
        folder = new_folder(folder_of(url), manifest, lock_timeout_s=lock_timeout_s)
        connector = cls._fill(folder, encoder)
        connector.activate()
        return connector

    @classmethod
    def recreate(
        cls,
        url: str | Path,
        *,
        encoder: Encoder | None,
        language: str | None = None,
        settings: EmbeddedSettings | None = None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        **options: Any,
    ) -> Self:
        """Make an empty index that takes the place of one that is there when `activate` is called.

        Closed before that, the new one is gone, and the other as it was; killed before, likewise,
        as soon as the index is opened again. Until then the disk holds both. Raises
        IndexExistsError and IndexCorruptError for a folder that does not hold an index of ours.
        """
        _refuse(options)
        manifest, path = _new_manifest(encoder, language, settings), folder_of(url)
        try:
            folder = second_folder(path, manifest, lock_timeout_s=lock_timeout_s)
        except IndexNotFoundError:
            folder = new_folder(path, manifest, lock_timeout_s=lock_timeout_s)
        return cls._fill(folder, encoder)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        encoder: Encoder | None = None,
        fusion: Fusion | None = None,
        hnsw_ef: int = requests.HNSW_EF,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        **options: Any,
    ) -> Self:
        """Open the index at a folder, or at embedded:///folder.

        Without an encoder, the recorded one is loaded by the first search that needs it. `fusion`
        stands in for the recorded one; with weight 0 for "dense", searches load no encoder.
        `hnsw_ef` is how many candidates a walk of the graph keeps. Waits
        `lock_timeout_s` seconds for another process to finish. Raises IndexNotFoundError,
        IndexLockedError, IndexMismatchError or IndexCorruptError.
        """
        _refuse(options)
        folder = open_folder(folder_of(url), lock_timeout_s=lock_timeout_s)
        with closed_on_error(folder):
            index_encoder = IndexEncoder(folder.path, folder.manifest.encoder, encoder)
            return cls(
                folder,
                open_whole(folder),
                encoder=index_encoder,
                fusion=fusion or folder.manifest.settings.fusion,
                hnsw_ef=hnsw_ef,
            )

    @classmethod
    def verify(cls, url: str, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Verification:
        """Look at every file and every document, which opening an index has no time for.

        Where nothing is wrong and the files were not recorded, they are from now on.
        """
        return verify(url, lock_timeout_s=lock_timeout_s)

    @classmethod
    def _fill(cls, folder: IndexFolder, encoder: Encoder | None) -> Self:
        with closed_on_error(folder):
            require_space(folder.path)
            return cls(
                folder,
                create_shard(folder.shard, folder.manifest),
                encoder=IndexEncoder(folder.path, folder.manifest.encoder, encoder),
                fusion=folder.manifest.settings.fusion,
            )

    def activate(self) -> None:
        """Put an index made by `recreate` in its place, and remove what it replaces."""
        self._shard.activate()

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Return at most `top_k` hits, best first."""
        found = self._searcher.search(
            query,
            self._folder.manifest,
            top_k=top_k,
            filter=filter,
            timeout_s=timeout_s,
            max_sim=False,
        )
        return found.hits

    def search_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Search, and score the hits by MaxSim, in one request."""
        return self._searcher.search(
            query,
            self._folder.manifest,
            top_k=top_k,
            filter=filter,
            timeout_s=timeout_s,
            max_sim=True,
        )

    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        """Score these documents; those without token tensors are absent from the answer."""
        return self._searcher.max_sim(query, ids)

    def knobs(self, *, top_k: int) -> list[Knob]:
        """List what can be tuned: how many candidates a walk of the graph keeps."""
        return [Knob("hnsw_ef", (16, 32, 64, 128, 256, 512), self._searcher.hnsw_ef)]

    def graph(self) -> Graph:
        """Tell whether there is a graph: it is made by `optimize`, of vectors that are enough."""
        in_graph, outside = self._outside_graph()
        if in_graph:
            return Graph()
        if outside > _GRAPH_FROM_BYTES:
            return Graph(walked=False, said="no graph has been made yet; rr index, run again, does")
        return Graph(
            walked=False,
            said=f"its vectors are {outside >> 10:,} kB, and the engine makes a graph from "
            f"{_GRAPH_FROM_BYTES >> 10:,} on",
        )

    def query_vectors(self, queries: Sequence[str]) -> Vectors:
        """Embed queries as searches do; (n, dim)."""
        return self._searcher.query_vectors(queries)

    def truncated_queries(self, queries: Sequence[str]) -> int:
        """Count the queries of which the encoder reads only the beginning, where it tells."""
        return self._searcher.truncated_queries(queries)

    def nearest(
        self, vector: Vectors, *, top_k: int, settings: Mapping[str, float] | None = None
    ) -> list[tuple[str, float]]:
        """Find (document id, cosine) through the graph, best first."""
        hnsw_ef = int((settings or {}).get("hnsw_ef", self._searcher.hnsw_ef))
        return self._searcher.nearest(vector, top_k=top_k, hnsw_ef=hnsw_ef)

    def nearest_exact(
        self,
        vectors: Vectors,
        *,
        top_k: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Find the true neighbours of each query, by comparing with every vector."""
        found = []
        for vector in vectors:
            found.append(self._searcher.nearest(vector, top_k=top_k, hnsw_ef=None))
            if on_progress:
                on_progress(1)
        return found

    def index(
        self,
        documents: Iterable[Document],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Add the documents, replacing those with the same id; unchanged ones are not encoded.

        Interrupted at any moment, it has kept what it reported, and goes on when run again.
        Raises InputError for an unfit document, and StorageFullError before the disk is full.
        """
        return self._writer.index(documents, on_progress)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids; return how many there were."""
        return self._writer.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""
        points = [point_id(id_) for id_ in ids]
        with self._shard.use() as shard:
            found = retrieve(shard, list(set(points)))
        return [found[point] for point in points if point in found]

    def scan(self) -> Iterator[Document]:
        """Iterate over all documents, each once, in no particular order."""
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=_PAGE, with_payload=requests.DOCUMENT_ONLY
            )
            with self._shard.use() as shard:
                records, offset = shard.scroll(request)
            yield from (requests.document(each.payload or {}) for each in records)
            if offset is None:
                return

    def count(self) -> int:
        """Return the number of documents."""
        with self._shard.use() as shard:
            return count(shard)

    def schema(self) -> IndexSchema:
        """Describe the index."""
        with self._shard.use() as shard:
            info, documents = shard.info(), count(shard)
        return describe(self._folder, info, documents=documents, fusion=self._searcher.fusion)

    def needs_optimizing(self) -> bool:
        """Tell whether so many vectors are outside the graph that `optimize` would make searches
        faster."""
        return self._outside_graph()[1] > _GRAPH_FROM_BYTES

    def _outside_graph(self) -> tuple[int, int]:
        """Return how many vectors are in the graph, and how many bytes of them are not."""
        encoder = self._folder.manifest.encoder
        if encoder is None:
            return 0, 0
        with self._shard.use() as shard:
            info = shard.info()
        # Counted are each point's BM25 vector, always, and its dense and token vectors once they
        # are in an optimized segment.
        in_graph = max(0, info.indexed_vectors_count - info.points_count) // 2
        return in_graph, (info.points_count - in_graph) * encoder.dimension * 4

    def optimize(self, *, on_progress: Callable[[float], None] | None = None) -> bool:
        """Make the graph for fast dense search, and drop what was deleted or replaced.

        Runs in another process while searches wait; return whether there was anything to do.
        `on_progress` hears the seconds passed, several times a second; it must not search. Ended
        at any moment, by an exception or a kill, it leaves the index usable.
        """
        return self._writer.optimize(on_progress)

    def __getstate__(self) -> object:
        raise NotPicklableError(self)

    def close(self) -> None:
        """Flush and close the files, and let other processes in; closing twice is harmless."""
        self._shard.close()


def _new_manifest(
    encoder: Encoder | None, language: str | None, settings: EmbeddedSettings | None
) -> Manifest:
    settings = settings or EmbeddedSettings()
    if language is not None:
        settings = replace(settings, language=language)
    return Manifest(settings, EncoderFacts.of(encoder) if encoder else None)


def _refuse(options: Mapping[str, Any]) -> None:
    if options:
        raise ConfigError(f"an embedded index takes no {', '.join(sorted(options))}")
