"""A Qdrant collection as a connector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from qdrant_client import QdrantClient

from retrieve_rerank.base import (
    Aliasable,
    Embedder,
    Encoder,
    Filter,
    IndexReport,
    IndexSchema,
    PartitionedScan,
    SparseEncoder,
    TensorDtype,
    TensorSearch,
)
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.qdrant import schema
from retrieve_rerank.connectors.qdrant.address import Address
from retrieve_rerank.connectors.qdrant.aliases import take_alias
from retrieve_rerank.connectors.qdrant.client import Server
from retrieve_rerank.connectors.qdrant.collection import Collection
from retrieve_rerank.connectors.qdrant.description import describe
from retrieve_rerank.connectors.qdrant.opening import Options, read_state
from retrieve_rerank.connectors.qdrant.reader import Reader
from retrieve_rerank.connectors.qdrant.searcher import Searcher
from retrieve_rerank.connectors.qdrant.tensor_draft import Draft
from retrieve_rerank.connectors.qdrant.tensors import Tensors
from retrieve_rerank.connectors.qdrant.term_store import QdrantLexicalStore
from retrieve_rerank.connectors.qdrant.terms import Terms
from retrieve_rerank.connectors.qdrant.token_store import QdrantTensorStore
from retrieve_rerank.connectors.qdrant.vector_search import QdrantVectorSearch
from retrieve_rerank.connectors.qdrant.writer import Writer
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.types import Document, Hit


class QdrantConnector(
    QdrantTensorStore, QdrantLexicalStore, QdrantVectorSearch, PartitionedScan, Aliasable
):
    """A collection of a Qdrant server, made by this library or by others.

    What it holds is found out when connecting. Safe to share between threads and event loops.
    """

    def __init__(self, collection: Collection) -> None:
        """Use `create` or `connect` instead."""
        self._collection = collection
        self._server = collection.server
        self._searcher = Searcher(collection)
        self._reader = Reader(collection)
        self._writer = Writer(collection)
        self._tensors = Tensors(collection, self._reader)
        self._draft = Draft(collection, self._reader)
        self._terms = Terms(collection, self._reader)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        text_field: str | None = None,
        title_field: str | None = None,
        vector_field: str | None = None,
        sparse_field: str | None = None,
        encoder: str | Embedder | None = None,
        sparse_encoder: str | SparseEncoder | None = None,
        hnsw_ef: int | None = None,
        oversample: float | None = None,
        fusion: Fusion | None = None,
        timeout_s: float | None = None,
        client: QdrantClient | None = None,
        **access: Any,
    ) -> Self:
        """Open the collection at `qdrant://host:6333/collection`, `qdrant+https://…` or, in the
        client's local mode, `qdrant+local:///folder/collection`.

        What is not said is detected. `encoder` is the model that the vectors were made with;
        recorded ones need none. `access` is what `Address.parse` takes: `api_key` (also as
        `username` or `password`), `bearer_token`, `ca_certs`, `client_cert`, `client_key`, `grpc`,
        `grpc_port` and `compress`.
        `client` is an open one, which stays open. Raises IndexNotFoundError,
        SchemaError where what is there is ambiguous, and UnsupportedServerError.
        """
        server, collection = _open(url, timeout_s, client, access, new=False)
        options = Options(
            *(text_field, title_field, vector_field, sparse_field, encoder, sparse_encoder),
            *(hnsw_ef, oversample, fusion or Fusion()),
        )
        return cls._on(server, collection, options)

    @classmethod
    def create(
        cls,
        url: str,
        *,
        encoder: Encoder | None,
        language: str | None = None,
        tensors: TensorDtype | None = "float16",
        timeout_s: float | None = None,
        client: QdrantClient | None = None,
        hnsw_ef: int | None = None,
        fusion: Fusion | None = None,
        **access: Any,
    ) -> Self:
        """Make an empty index; None as encoder makes it lexical only.

        `tensors` is how token tensors are stored, None for none. The rest is as for `connect`.
        Raises IndexExistsError.
        """
        server, collection = _open(url, timeout_s, client, access, new=True)
        options = Options(encoder=encoder, hnsw_ef=hnsw_ef, fusion=fusion or Fusion())
        try:
            server.search(
                schema.create(
                    server, collection, encoder=encoder, language=language, tensors=tensors
                )
            )
        except BaseException:
            server.close()
            raise
        return cls._on(server, collection, options)

    @classmethod
    def _on(cls, server: Server, collection: str, options: Options) -> Self:
        try:
            state = server.search(read_state(server, collection, options))
        except BaseException:
            server.close()
            raise
        return cls(Collection(server, options, state))

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Return at most `top_k` hits, best first; `timeout_s` goes to the server in whole
        seconds, rounded up."""
        steps = self._searcher.search(query, top_k=top_k, filter=filter, max_sim=False)
        return self._server.search(steps, timeout_s=timeout_s).hits

    async def asearch(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Async twin of `search`."""
        steps = self._searcher.search(query, top_k=top_k, filter=filter, max_sim=False)
        return (await self._server.asearch(steps, timeout_s=timeout_s)).hits

    def search_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Search, and score the hits by MaxSim, in a second request that brings them."""
        steps = self._searcher.search(query, top_k=top_k, filter=filter, max_sim=True)
        return self._server.search(steps, timeout_s=timeout_s)

    async def asearch_max_sim(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> TensorSearch:
        """Async twin of `search_max_sim`."""
        steps = self._searcher.search(query, top_k=top_k, filter=filter, max_sim=True)
        return await self._server.asearch(steps, timeout_s=timeout_s)

    def max_sim(self, query: str, ids: Sequence[str]) -> dict[str, float]:
        """Score these documents; those without token tensors are absent from the answer."""
        return self._server.search(self._searcher.max_sim(query, ids))

    def index(
        self,
        documents: Iterable[Document],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Add the documents, replacing those with the same id; unchanged ones are not encoded.

        Raises SchemaError for a collection that others made, InputError for an unfit document,
        and PartialWriteError, once all is done, for those that the server refused.
        """
        return self._writer.index(documents, on_progress)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids; return how many there were."""
        return self._writer.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in that order, leaving out unknown ones."""
        return self._reader.get(ids)

    def scan(self) -> Iterator[Document]:
        """Iterate over all documents, each once, in no particular order.

        All are of the collection that the name stood for when it began; raises IndexMismatchError
        where that is made anew meanwhile.
        """
        yield from self._reader.documents(self._server.run(self._collection.refresh()))

    def scan_part(self, part: int, *, parts: int) -> Iterator[Document]:
        """Iterate over one of so many slices, of what the name stood for when it was opened.

        Raises UnsupportedServerError where the server is older than 1.19.
        """
        yield from self._reader.documents(self._collection.state, part=part, parts=parts)

    def count(self) -> int:
        """Return the number of documents."""
        return self._reader.count()

    def schema(self) -> IndexSchema:
        """Describe the collection."""
        return describe(
            self._server.run(self._collection.refresh()),
            self._collection.options,
            location=self._server.location,
            documents=self._reader.estimate(),
        )

    def take_alias(self, alias: str) -> list[str]:
        """Let an alias name this collection and no other, in one step; return what it named.

        Raises ConfigError where it cannot be a name, and IndexExistsError where a collection has
        it.
        """
        state, location = self._collection.state, self._server.location
        return self._server.run(take_alias(state.collection, alias, location))

    def close(self) -> None:
        """Close the connections, and let other processes into a folder of local mode."""
        self._server.close()

    async def aclose(self) -> None:
        """Close what this event loop's searches opened, and all that `close` does."""
        await self._server.aclose()


def _open(
    url: str,
    timeout_s: float | None,
    client: QdrantClient | None,
    access: dict[str, Any],
    *,
    new: bool,
) -> tuple[Server, str]:
    known = {"username", "password", "api_key", "bearer_token", "ca_certs", "client_cert"}
    known |= {"client_key", "grpc", "grpc_port", "compress"}
    if unknown := access.keys() - known:
        raise ConfigError(f"a Qdrant index takes no {', '.join(sorted(unknown))}")
    address = Address.parse(url, **access)
    if client is not None:
        address = replace(address, grpc=client.init_options["prefer_grpc"])
    if client is None and not new:
        address.require_folder()
    return Server(address, timeout_s=timeout_s, client=client), address.collection
