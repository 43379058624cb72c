"""Answers that a proxy on the way spoils: none is taken for that to another request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.errors import DeadlineExceededError
from tests.faulty_proxy import FaultyProxy, Mode, faulty_proxy
from tests.servers import Server, fresh_index

WORDS = [f"word{number}" for number in range(12)]


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(urlsplit(server.url).port or 0) as proxy:
        yield proxy


@pytest.fixture
def index(server: Server, proxy: FaultyProxy) -> Iterator[ElasticsearchConnector]:
    """An index whose documents have a word each, reached through the proxy."""
    name = fresh_index(server)
    with ElasticsearchConnector.create(server.address(name), encoder=None) as made:
        made.index([Document(word, word) for word in WORDS])
    url = proxy.url.replace("http://", "elasticsearch://")
    with closing(ElasticsearchConnector.connect(f"{url}/{name}")) as index:
        yield index


def test_a_doubled_answer_is_not_taken_for_the_next(
    index: ElasticsearchConnector, proxy: FaultyProxy
) -> None:
    proxy.spoil("double", times=6)
    for word in WORDS:
        assert [hit.document.id for hit in index.search(word, top_k=3)] == [word]


async def test_a_doubled_answer_is_not_taken_for_the_next_in_an_event_loop(
    index: ElasticsearchConnector, proxy: FaultyProxy
) -> None:
    proxy.spoil("double", times=6)
    for word in WORDS:
        assert [hit.document.id for hit in await index.asearch(word, top_k=3)] == [word]
    # One that gave a wrong answer, which it takes a request to see, is not used again.
    assert proxy.asked_after
    assert max(proxy.asked_after.values()) <= 1
    await index.aclose()


@pytest.mark.parametrize("mode", ["cut", "reset", "delay"])
async def test_a_broken_answer_is_asked_for_again(
    index: ElasticsearchConnector, proxy: FaultyProxy, mode: Mode
) -> None:
    for word in WORDS[:2]:
        proxy.spoil(mode)
        assert [hit.document.id for hit in index.search(word, top_k=3)] == [word]
        proxy.spoil(mode)
        assert [hit.document.id for hit in await index.asearch(word, top_k=3)] == [word]
    await index.aclose()


async def test_an_answer_that_never_ends_is_given_up(
    index: ElasticsearchConnector, proxy: FaultyProxy
) -> None:
    proxy.spoil("hang", times=2)
    with pytest.raises(DeadlineExceededError):
        index.search("word1", top_k=3, timeout_s=0.3)
    with pytest.raises(DeadlineExceededError):
        await index.asearch("word1", top_k=3, timeout_s=0.3)
    assert [hit.document.id for hit in await index.asearch("word1", top_k=3)] == ["word1"]
    await index.aclose()
