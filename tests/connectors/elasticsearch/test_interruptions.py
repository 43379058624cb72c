"""Servers that go away in the middle: killed, restarted, one of two nodes lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.errors import ConnectionFailedError
from tests.servers import NEWEST, Server, own_elasticsearch

COUNT = 3000


def documents(prefix: str) -> list[Document]:
    return [Document(f"{prefix}{i}", f"wing number {i}", {"i": i}) for i in range(COUNT)]


def slowly(given: list[Document], seconds: float) -> Iterator[Document]:
    """Hand documents out over about so many seconds."""
    for number, document in enumerate(given):
        if number % 100 == 0:
            time.sleep(seconds * 100 / len(given))
        yield document


def scanned(index: ElasticsearchConnector, seconds: float) -> list[str]:
    """Scan over about so many seconds."""
    seen = []
    for number, document in enumerate(index.scan()):
        if number % 100 == 0:
            time.sleep(seconds * 100 / COUNT)
        seen.append(document.id)
    return seen


@pytest.mark.slow
def test_a_killed_server_that_comes_back_loses_and_doubles_nothing() -> None:
    with (
        own_elasticsearch("--version", NEWEST) as server,
        ElasticsearchConnector.create(server.address("old"), encoder=None) as old,
        ElasticsearchConnector.create(server.address("new"), encoder=None) as new,
        ThreadPoolExecutor() as threads,
    ):
        old.index(documents("old"))
        scanning = threads.submit(scanned, old, 6)
        loading = threads.submit(new.index, slowly(documents("new"), 6))
        time.sleep(2)
        server.stop(kill=True)
        with pytest.raises(ConnectionFailedError, match="cannot reach"):
            old.search("wing", top_k=5)
        with pytest.raises(ConnectionFailedError, match="cannot reach"):
            ElasticsearchConnector.connect(server.address("old"))
        assert not scanning.done()
        assert not loading.done()
        server.restart()
        assert sorted(scanning.result()) == sorted(each.id for each in documents("old"))
        assert loading.result().indexed == COUNT
        assert len(old.search("wing", top_k=5)) == 5
        assert new.index(documents("new")).unchanged == new.count() == COUNT


@pytest.mark.slow
def test_a_lost_node_of_two_is_not_noticed() -> None:
    with own_elasticsearch("--version", NEWEST) as first, _joined(first) as second:
        hosts = ",".join(each.url.removeprefix("http://") for each in (first, second))
        url = f"elasticsearch://{hosts}"
        with (
            ElasticsearchConnector.create(f"{url}/old", encoder=None) as old,
            ElasticsearchConnector.create(f"{url}/new", encoder=None) as new,
            ThreadPoolExecutor() as threads,
        ):
            old.index(documents("old"))
            first.call("GET", "/_cluster/health?wait_for_status=green&timeout=60s")
            scanning = threads.submit(scanned, old, 8)
            loading = threads.submit(new.index, slowly(documents("new"), 8))
            searching = threads.submit(_search_until, old, [scanning, loading])
            time.sleep(3)
            second.stop(kill=True)
            assert sorted(scanning.result()) == sorted(each.id for each in documents("old"))
            assert loading.result().indexed == new.count() == COUNT
            assert searching.result() > 20


def _joined(server: Server) -> AbstractContextManager[Server]:
    return own_elasticsearch("--join", server.dir)


def _search_until(index: ElasticsearchConnector, others: Sequence[Future[Any]]) -> int:
    """Search until the others have ended; return how often. None of the searches may fail."""
    searches = 0
    while not all(each.done() for each in others):
        assert len(index.search("wing", top_k=5)) == 5
        searches += 1
    return searches
