"""The embedded index as a connector: one folder, one process at a time, many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import qdrant_edge as edge

from retrieve_rerank.base import (
    Encoder,
    Filter,
    IndexReport,
    IndexSchema,
    Optimizable,
    TensorConnector,
    TensorRefreshing,
    TensorSearch,
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
    replacement,
    second_folder,
)
from retrieve_rerank.connectors.embedded.manifest import Manifest
from retrieve_rerank.connectors.embedded.searcher import Searcher, dense_vectors, retrieve, scroll
from retrieve_rerank.connectors.embedded.settings import EmbeddedSettings
from retrieve_rerank.connectors.embedded.shard import create_shard, require_space
from retrieve_rerank.connectors.embedded.shared import SharedShard, count, open_whole
from retrieve_rerank.connectors.embedded.vector_search import EmbeddedVectorSearch
from retrieve_rerank.connectors.embedded.verifying import verify
from retrieve_rerank.connectors.embedded.writer import Writer
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.errors import ConfigError, IndexNotFoundError, NotPicklableError
from retrieve_rerank.types import Document, Hit

LOCK_TIMEOUT_S = 10.0


class EmbeddedConnector(
    TensorConnector, EmbeddedVectorSearch, Optimizable, TensorRefreshing, Verifiable
):
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
            index_encoder = IndexEncoder(folder.path, folder.manifest, encoder)
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
    def refresh_tensors(
        cls,
        url: str,
        encoder: Encoder,
        *,
        on_progress: Callable[[int], None] | None = None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> IndexReport:
        """Make the token tensors of the index at `url` anew, by another encoder.

        The vectors that the first stage searches by are copied. Where the other gives vectors that
        are not the same, documents and queries are read by both from then on. All is made beside
        what there is, which a kill at any moment leaves as it was. Raises ConfigError for an index
        without vectors, and what `connect` does.
        """
        current = open_folder(folder_of(url), lock_timeout_s=lock_timeout_s)
        with closed_on_error(current):
            manifest = current.manifest.with_token_encoder(encoder, location=str(current.path))
            old = open_whole(current)
        with ExitStack() as stack:
            closing_old = stack.enter_context(ExitStack())
            closing_old.callback(old.close)
            new = stack.enter_context(cls._fill(replacement(current, manifest), encoder))
            documents = scroll(lambda: nullcontext(old))
            report = new._writer.index(documents, on_progress, partial(dense_vectors, old))
            closing_old.close()  # before its files are removed
            new.optimize()
            new.activate()
        return report

    @classmethod
    def _fill(cls, folder: IndexFolder, encoder: Encoder | None) -> Self:
        with closed_on_error(folder):
            require_space(folder.path)
            return cls(
                folder,
                create_shard(folder.shard, folder.manifest),
                encoder=IndexEncoder(folder.path, folder.manifest, encoder),
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
        return scroll(self._shard.use)

    def count(self) -> int:
        """Return the number of documents."""
        with self._shard.use() as shard:
            return count(shard)

    def schema(self) -> IndexSchema:
        """Describe the index."""
        with self._shard.use() as shard:
            info, documents = shard.info(), count(shard)
        return describe(self._folder, info, documents=documents, fusion=self._searcher.fusion)

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
