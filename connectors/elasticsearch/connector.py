"""An index at an Elasticsearch server as a connector: 8.15 to 9.x, made by whomever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from elasticsearch import Elasticsearch

from retrieve_rerank.base import (
    Aliasable,
    Embedder,
    Encoder,
    Filter,
    IndexReport,
    IndexSchema,
    PartitionedScan,
    SparseEncoder,
)
from retrieve_rerank.concurrency.retrying import LONG_PATIENCE_S
from retrieve_rerank.connectors.elasticsearch import schema, searcher, writer
from retrieve_rerank.connectors.elasticsearch.address import Address, client_options
from retrieve_rerank.connectors.elasticsearch.aliases import take_alias
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Steps
from retrieve_rerank.connectors.elasticsearch.description import describe
from retrieve_rerank.connectors.elasticsearch.detection import FieldChoice
from retrieve_rerank.connectors.elasticsearch.identity import by_index, fetch
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.opening import (
    Opened,
    Options,
    create_index,
    open_index,
)
from retrieve_rerank.connectors.elasticsearch.reader import documents
from retrieve_rerank.connectors.elasticsearch.requests import KnnSettings
from retrieve_rerank.connectors.elasticsearch.searcher import Searcher
from retrieve_rerank.connectors.elasticsearch.target import Target, require_same
from retrieve_rerank.connectors.elasticsearch.token_store import ElasticsearchTensorStore
from retrieve_rerank.connectors.elasticsearch.vector_search import ElasticsearchVectorSearch
from retrieve_rerank.connectors.elasticsearch.versions import ask_license
from retrieve_rerank.connectors.elasticsearch.writer import Writer
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.errors import ConfigError, PermissionDeniedError
from retrieve_rerank.types import Document, Hit

_CREDENTIALS = (
    *("username", "password", "api_key", "bearer_token"),
    *("cloud_id", "ca_certs", "fingerprint", "compress", "timeout_s"),
)


class ElasticsearchConnector(
    ElasticsearchTensorStore, ElasticsearchVectorSearch, PartitionedScan, Aliasable
):
    """An index at an Elasticsearch server, ranked by BM25, vectors and sparse vectors.

    Threads and event loops share one connector. Indexes made by others are only read, but for
    `delete`. Token tensors lie in an index beside it, see `Sidecar`.
    """

    def __init__(self, target: Target) -> None:
        """Use `create` or `connect` instead."""
        self._searcher = Searcher(target)
        super().__init__(target, self._searcher)

    @classmethod
    def create(
        cls, url: str, *, encoder: Encoder | None, language: str | None = None, **options: Any
    ) -> Self:
        """Make an empty index at `url`; None as encoder makes it lexical only.

        `language` is the documents'; where None, it is told from the first of them. Raises
        IndexExistsError.
        """
        address = Address.parse(url)
        cluster = _cluster(address, {n: v for n, v in options.items() if n in _CREDENTIALS})
        try:
            facts = EncoderFacts.of(encoder) if encoder else None
            cluster.run(create_index(address.index, address.location, facts, language))
        finally:
            cluster.close()
        return cls.connect(url, encoder=encoder, **options)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        bearer_token: str | None = None,
        cloud_id: str | None = None,
        ca_certs: Path | None = None,
        fingerprint: str | None = None,
        compress: bool | None = None,
        timeout_s: float | None = None,
        text_field: str | None = None,
        title_field: str | None = None,
        vector_field: str | None = None,
        sparse_field: str | None = None,
        encoder: str | Embedder | None = None,
        sparse_encoder: str | SparseEncoder | None = None,
        num_candidates: int | None = None,
        oversample: float | None = None,
        fusion: Fusion | None = None,
        client: Elasticsearch | None = None,
        **options: Any,
    ) -> Self:
        """Open the index, alias or data stream at elasticsearch://host:9200/name.

        What its fields are for is found out unless it is said here; without an encoder, a recorded
        one is loaded by the first search that needs it. A `client` is used in place of one that
        the credentials make, and stays open. Raises IndexNotFoundError,
        IndexMismatchError, UnsupportedServerError, SchemaError where the fields are ambiguous, and
        UnknownFieldError.
        """
        if options:
            raise ConfigError(f"an Elasticsearch index takes no {', '.join(sorted(options))}")
        address = Address.parse(url)
        asked = Options(
            FieldChoice(text_field, title_field, vector_field, sparse_field),
            encoder,
            sparse_encoder,
            KnnSettings(num_candidates, oversample),
            fusion or Fusion(),
        )
        cluster = _cluster(
            address,
            {
                **{"username": username, "password": password, "api_key": api_key},
                **{"bearer_token": bearer_token, "cloud_id": cloud_id, "ca_certs": ca_certs},
                **{"fingerprint": fingerprint, "compress": compress, "timeout_s": timeout_s},
            },
            client,
        )
        try:
            opened = cluster.run(open_index(address.index, address.location, asked))
            return cls(Target(cluster, asked, opened))
        except BaseException:
            cluster.close()
            raise

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Return at most `top_k` hits, best first; one request to the server."""
        steps = self._searcher.search(query, top_k=top_k, filter=filter, timeout_s=timeout_s)
        return self._cluster.run(steps, timeout_s=timeout_s)

    async def asearch(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Async twin of `search`."""
        steps = self._searcher.search(query, top_k=top_k, filter=filter, timeout_s=timeout_s)
        return await self._cluster.arun(steps, timeout_s=timeout_s)

    def index(
        self,
        documents: Iterable[Document],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Add the documents, replacing those with the same id; unchanged ones are not encoded.

        Interrupted at any moment, it has kept what it reported, and goes on when run again.
        Raises SchemaError for an index that others made, InputError for an unfit document, and
        PartialWriteError at the end where the server refused some.
        """
        opened = self._cluster.run(self._target.refresh(), patience_s=LONG_PATIENCE_S)
        try:
            return Writer(self._cluster, opened).index(documents, on_progress)
        finally:
            self._cluster.run(self._target.reread(), patience_s=LONG_PATIENCE_S)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids; return how many there were.

        Of several indexes, raises InputError as `get` does before anything is deleted.
        """
        if len(self._target.opened.indexes) == 1:
            return writer.delete(
                self._cluster, self._target.opened.single_name, map(schema.key, ids)
            )
        _, there = self._fetch(ids, lambda layout: layout.id_source)
        return sum(
            writer.delete(self._cluster, index, keys)
            for index, keys in by_index(there.values()).items()
        )

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones.

        Of several indexes, an `_id` without its index will do where only one of them has it;
        raises InputError, naming the candidates, where more do.
        """
        layout, found = self._fetch(ids, lambda layout: layout.source)
        return [layout.document(found[id_]) for id_ in ids if id_ in found]

    def resolve_ids(self, ids: Sequence[str]) -> dict[str, str]:
        """Return id -> the id in hits, `index/_id` for several indexes; raise as `get` does."""
        layout, found = self._fetch(ids, lambda layout: layout.id_source)
        return {id_: layout.document(hit).id for id_, hit in found.items()}

    def scan(self) -> Iterator[Document]:
        """Iterate over all documents, each once, in no particular order.

        A server that goes away for less than two minutes does not end it. All are of the indexes
        that the address stands for when it begins; raises IndexMismatchError where it stands for
        others when a lost view is to be replaced.
        """
        opened = self._cluster.run(self._target.refresh(), patience_s=LONG_PATIENCE_S)
        yield from documents(self._cluster, opened)

    def scan_part(self, part: int, *, parts: int) -> Iterator[Document]:
        """Iterate over one of so many slices, of what the address stood for when it was opened."""
        opened = self._target.opened
        self._cluster.run(require_same(opened))
        yield from documents(self._cluster, opened, part=part, parts=parts)

    def count(self) -> int:
        """Return the number of documents."""
        return self._cluster.run(searcher.count(self._target.opened))

    def schema(self) -> IndexSchema:
        """Describe the index."""
        self._cluster.run(self._target.refresh())
        notes, tensors = [], None
        try:
            tensors = self._sidecar.settings()
        except PermissionDeniedError:
            notes.append(f"these credentials may not tell whether {self._sidecar.name} is there")
        return describe(
            self._target.opened,
            self._target.options,
            documents=self.count(),
            license=self._cluster.run(ask_license()),
            tensors=tensors,
            sidecar=self._sidecar.name,
            notes=notes,
        )

    def take_alias(self, alias: str) -> list[str]:
        """Point an alias at this index and no other, in one step; return those it pointed at.

        Raises ConfigError where this is several indexes, or the alias more than one name, and
        IndexExistsError where an index has that name.
        """
        return self._cluster.run(take_alias(self._target.opened, alias))

    def close(self) -> None:
        """Close the connections; those of a running event loop end with it, or by `aclose`."""
        self._cluster.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and all that `close` does."""
        await self._cluster.aclose()

    def _fetch(
        self, ids: Sequence[str], source: Callable[[Layout], Any]
    ) -> tuple[Layout, dict[str, Mapping[str, Any]]]:
        """Fetch documents, id -> raw hit, and return the layout that they have."""

        def work(opened: Opened) -> Steps[tuple[Any, list[list[Mapping[str, Any]]]]]:
            found = yield from fetch(opened, ids, source(opened.layout))
            return (opened.layout, found), [list(found.values())] if ids else []

        layout, found = self._cluster.run(self._target.settled(work))
        return layout, found


def _cluster(
    address: Address, credentials: Mapping[str, Any], client: Elasticsearch | None = None
) -> Cluster:
    options = {name: value for name, value in credentials.items() if value is not None}
    timeout_s = options.pop("timeout_s", None)
    given = client_options(address, **options) if client is None else client
    return Cluster(given, location=address.location, timeout_s=timeout_s)
