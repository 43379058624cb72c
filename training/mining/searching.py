"""The searches that negatives come from, in the queries' order, several going on at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from retrieve_rerank.base import Connector, Filter, VectorSearch
from retrieve_rerank.connectors.hybrid import DENSE
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.types import Hit, Placement, without

THREADS = 4
"""Searches at once: a server works on one while the answer to another is read. More gain nothing
on an index that is in this process."""

BATCH = 64
"""Queries that are embedded, and compared with all vectors, at once."""


class Searched(NamedTuple):
    """What was found for a query."""

    query_id: str
    query: str
    hits: Sequence[Hit]
    degraded: bool = False
    """Whether a stage was left out."""


def search_all(
    retriever: Retriever,
    queries: Mapping[str, str],
    *,
    own: Mapping[str, str],
    filter: Filter | None,
    users: Mapping[str, str] = MappingProxyType({}),
    done: int = 0,
) -> Iterator[Searched]:
    """Search for each query but the first `done` as serving does.

    `own` names a document to leave out of a query's hits; `users` tell for queries what is known
    of who asks.
    """

    def search(query_id: str) -> Searched:
        query = queries[query_id]
        exclude = [own[query_id]] if query_id in own else []
        result = retriever.search(
            query,
            top_k=retriever.candidates,
            filter=filter,
            exclude=exclude,
            user=users.get(query_id),
        )
        return Searched(query_id, query, result.hits, result.degraded)

    under_way: deque[Future[Searched]] = deque()
    with ThreadPoolExecutor(THREADS, "retrieve-rerank mining") as threads:
        try:
            for query_id in islice(queries, done, None):
                under_way.append(threads.submit(search, query_id))
                if len(under_way) > 2 * THREADS:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def search_exactly(
    connector: Connector,
    queries: Mapping[str, str],
    *,
    depth: int,
    own: Mapping[str, str],
    done: int = 0,
) -> Iterator[Searched]:
    """Find the true neighbours of each query but the first `done`, embedded with others in one go.

    With the same others wherever a run begins: in other company a vector's last bits differ.
    """
    if not isinstance(connector, VectorSearch):
        raise InputError("this index cannot be searched exactly: it does not show its vectors")
    first = done - done % BATCH
    remaining = iter(islice(queries, first, None))
    skipped = done - first
    while ids := list(islice(remaining, BATCH)):
        vectors = connector.query_vectors([queries[id_] for id_ in ids])
        wanted = depth + any(id_ in own for id_ in ids)
        found = connector.nearest_exact(vectors, top_k=wanted)
        distinct = list(dict.fromkeys(document for each in found for document, _ in each))
        documents = {document.id: document for document in connector.get(distinct)}
        for query_id, neighbours in islice(zip(ids, found, strict=True), skipped, None):
            hits = [
                Hit(documents[id_], score, rank, sources={DENSE: Placement(rank, score)})
                for rank, (id_, score) in enumerate(neighbours, start=1)
                if id_ in documents
            ]
            kept = without(hits, [own[query_id]]) if query_id in own else hits
            yield Searched(query_id, queries[query_id], kept[:depth])
        skipped = 0
