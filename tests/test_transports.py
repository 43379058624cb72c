"""Answers of services that send no id back, spoiled by a proxy on the way."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.models.language_model import Part, Piece, Prompt
from retrieve_rerank.models.services.chat_server import ChatServer
from retrieve_rerank.models.services.embedder import HttpEmbedder
from retrieve_rerank.network.transports import REQUEST_ID, async_transport, sync_transport
from retrieve_rerank.rerankers.remote import Remote
from tests.connectors.qdrant.stub import Stub, serving
from tests.faulty_proxy import FaultyProxy, Mode, faulty_proxy
from tests.models import embedding_server
from tests.models.embedding_server import EmbeddingServer, ok, serve
from tests.rerankers import rerank_server

QUERIES = [f"query {number}" for number in range(8)]
TEXTS = ["a panda", "a bear"]


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with serve(rerank_server.documented) as running:
        yield running


@pytest.fixture
def proxy(server: EmbeddingServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(urlsplit(server.url).port or 0) as proxy:
        yield proxy


@pytest.mark.parametrize("mode", ["double", "reset", "cut", "delay"])
async def test_a_reranking_service_scores_each_query_by_its_own_answer(
    proxy: FaultyProxy, mode: Mode
) -> None:
    remote = Remote(f"tei:{proxy.url}")
    expected = [[rerank_server.score(query, text) for text in TEXTS] for query in QUERIES]
    proxy.spoil(mode, times=len(QUERIES) if mode == "double" else 2)
    assert [await remote.ascore(query, TEXTS) for query in QUERIES] == expected
    await remote.aclose()
    proxy.spoil(mode, times=len(QUERIES) if mode == "double" else 2)
    assert [remote.score(query, TEXTS) for query in QUERIES] == expected


def test_an_embedding_server_gives_each_query_its_own_vector() -> None:
    with serve() as server, faulty_proxy(urlsplit(server.url).port or 0) as proxy:
        embedder = HttpEmbedder("tei", "", url=proxy.url)
        embedder.embed_queries(["first"])
        proxy.spoil("double", times=len(QUERIES))
        for query in QUERIES:
            [row] = embedder.embed_queries([query])
            assert row.tolist() == pytest.approx(embedding_server.vector(f"query: {query}"))


async def test_qdrant_answers_each_query_itself() -> None:
    with serving(Stub()) as stub, faulty_proxy(urlsplit(stub.url).port or 0) as proxy:
        url = proxy.url.replace("http://", "qdrant://") + "/docs"
        with QdrantConnector.create(url, encoder=None) as index:
            index.index([Document(query.replace(" ", ""), query) for query in QUERIES])
            proxy.spoil("double", times=2 * len(QUERIES))
            for query in QUERIES:
                wanted = query.replace(" ", "")
                word = query.split()[1]
                assert [hit.document.id for hit in index.search(word, top_k=1)] == [wanted]
                assert [hit.document.id for hit in await index.asearch(word, top_k=1)] == [wanted]
            await index.aclose()


def test_a_service_that_gives_two_requests_the_same_answer_is_believed_in_the_end(
    server: EmbeddingServer,
) -> None:
    server.replies = [ok([{"index": 0, "score": 0.5}, {"index": 1, "score": 0.5}])] * 20
    remote = Remote(f"tei:{server.url}")
    assert [remote.score(query, TEXTS) for query in QUERIES[:2]] == [[0.5, 0.5]] * 2


async def test_an_id_of_another_request_is_refused_and_ones_of_others_are_not(
    server: EmbeddingServer,
) -> None:
    foreign = (200, {REQUEST_ID: "7b1f"}, b"{}")
    ours = (200, {REQUEST_ID: "rr-00112233aabbccdd-7"}, b"{}")
    for kind in ("sync", "async"):
        server.replies = [foreign, ours]
        if kind == "sync":
            with httpx.Client(transport=sync_transport(server.url)) as client:
                assert client.get(server.url).status_code == 200
                with pytest.raises(httpx.RemoteProtocolError, match="belongs to another request"):
                    client.get(server.url)
        else:
            async with httpx.AsyncClient(transport=async_transport(server.url)) as aclient:
                assert (await aclient.get(server.url)).status_code == 200
                with pytest.raises(httpx.RemoteProtocolError, match="belongs to another request"):
                    await aclient.get(server.url)


def test_a_service_that_answers_all_alike_is_believed_however_many_connections_there_are(
    server: EmbeddingServer,
) -> None:
    server.replies = [ok({"choices": [{"message": {"content": "2"}}]})] * 200
    model = ChatServer("qwen3", url=f"{server.url}/v1")
    prompts = [Prompt((Piece((Part(f"query {n}"),), "user"),)) for n in range(24)]
    for _ in range(2):  # the second time through connections that have all given that answer
        assert model.generate(prompts, max_new_tokens=1).values == ["2"] * 24
        prompts = [Prompt((Piece((Part(f"other {n}"),), "user"),)) for n in range(24)]
