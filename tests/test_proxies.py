"""The environment's proxy: taken alike by all clients, not for this machine, named in errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.errors import ConfigError, ConnectorError, ModelError
from retrieve_rerank.models.services.embedder import HttpEmbedder
from retrieve_rerank.network.proxies import proxy_for, through
from retrieve_rerank.rerankers.remote import Remote
from tests.connectors.qdrant.stub import Stub, serving
from tests.models.embedding_server import serve
from tests.rerankers import rerank_server
from tests.servers import delete_indexes, elasticsearch, fresh_index

FAR = "search.example"
"""A host that only the proxy knows: it takes all of its ports for those of this machine."""


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        there = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        headers = {k: v for k, v in self.headers.items() if k.lower() != "proxy-authorization"}
        url = f"http://127.0.0.1:{there.port}{there.path}" + (f"?{there.query}" * bool(there.query))
        status, found, data = 502, {}, b"<html>Bad gateway</html>"
        if not self.server.broken:
            request = Request(url, body, headers, method=self.command)
            try:
                answer = build_opener(ProxyHandler({})).open(request, timeout=10)
            except HTTPError as refused:  # an answer like any other
                answer = refused
            with answer:
                status, found, data = answer.status, dict(answer.headers), answer.read()
        self.send_response(status)
        for name, value in {**found, "Content-Length": str(len(data))}.items():
            if name.lower() not in ("transfer-encoding", "date", "server", "connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_GET

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


class _Proxy(ThreadingHTTPServer):
    """A forward proxy; `broken`, it answers 502 to everything."""

    broken = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.asked: list[tuple[str, str | None]] = []


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Proxy]:
    """A proxy that the environment names, with a user and a password."""
    with _Proxy() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:s3cret@127.0.0.1:{running.server_port}")
        yield running
        running.shutdown()
        monkeypatch.delenv("HTTP_PROXY")


@pytest.fixture
def near() -> Iterator[str]:
    """The address of an index of one document at a server on this machine."""
    server = elasticsearch()
    yield server.address(fresh_index(server))
    delete_indexes()


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"HTTP_PROXY": "http://p:3128"}, "http://far/x", "http://p:3128"),
        ({"http_proxy": "p:3128"}, "http://far:9200", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, "https://far", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://far", "http://p:3128"),
        ({"ALL_PROXY": "http://p:3128"}, "https://far", "http://p:3128"),
        ({"ALL_PROXY": "socks5://p:1", "HTTP_PROXY": "http://p:2"}, "http://far", "http://p:2"),
        ({"ALL_PROXY": "http://p:3128"}, "http://localhost:9200", None),
        ({"ALL_PROXY": "http://p:3128"}, "http://es.localhost", None),
        ({"ALL_PROXY": "http://p:3128"}, "http://127.8.9.1:9200", None),
        ({"ALL_PROXY": "http://p:3128"}, "http://[::1]:9200", None),
        ({"ALL_PROXY": "http://p:3128"}, "http://10.1.2.3", "http://p:3128"),
        ({"ALL_PROXY": "http://p:3128", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3", None),
        ({"ALL_PROXY": "http://p:3128", "NO_PROXY": "a, far.io"}, "http://x.far.io:9", None),
        ({"ALL_PROXY": "http://p:3128", "no_proxy": "far:9"}, "http://far:9", None),
        ({"ALL_PROXY": "http://p:3128", "no_proxy": "far:9"}, "http://far:8", "http://p:3128"),
        ({"ALL_PROXY": "http://p:3128", "NO_PROXY": "*"}, "http://far", None),
        ({}, "http://far", None),
    ],
)
def test_the_environment_says_which_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (found.url if found else None) == expected


@pytest.mark.parametrize("wrong", ["socks5://u:s3cret@p:1", "http://", "http://u:s3cret@[p"])
def test_a_proxy_that_cannot_be_used_is_an_error_without_secrets(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", wrong)
    with pytest.raises(ConfigError, match=r"HTTPS_PROXY.* expected http://host:port") as caught:
        through("https://far")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        ElasticsearchConnector.connect("elasticsearch+https://far/docs")
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        QdrantConnector.connect("qdrant+https://far/docs")
    with pytest.raises(ModelError, match="HTTPS_PROXY"):
        Remote("tei:https://far")


async def test_elasticsearch_is_reached_through_it_sync_and_async(near: str, proxy: _Proxy) -> None:
    with ElasticsearchConnector.create(near, encoder=None) as made:
        made.index([Document("a", "wing")])
    assert not proxy.asked
    index = ElasticsearchConnector.connect(near.replace("127.0.0.1", FAR))
    opening = len(proxy.asked)
    assert opening
    assert [hit.document.id for hit in index.search("wing", top_k=3)] == ["a"]
    assert [hit.document.id for hit in await index.asearch("wing", top_k=3)] == ["a"]
    assert len(proxy.asked) == opening + 2
    assert {secret for _, secret in proxy.asked} == {"Basic YW5uOnMzY3JldA=="}
    proxy.broken = True
    with pytest.raises(ConnectorError, match=_named(proxy)) as caught:
        index.search("wing", top_k=3)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConnectorError, match=_named(proxy)):
        await index.asearch("wing", top_k=3)
    await index.aclose()


async def test_qdrant_is_reached_through_it_sync_and_async(proxy: _Proxy) -> None:
    with serving(Stub()) as stub:
        QdrantConnector.create(stub.url, encoder=None).index([Document("a", "wing")])
        assert not proxy.asked
        url = f"qdrant://{FAR}:{urlsplit(stub.url).port}/docs"
        index = QdrantConnector.connect(url)
        opening = len(proxy.asked)
        assert [hit.document.id for hit in index.search("wing", top_k=3)] == ["a"]
        assert [hit.document.id for hit in await index.asearch("wing", top_k=3)] == ["a"]
        assert len(proxy.asked) == opening + 2
        proxy.broken = True
        with pytest.raises(ConnectorError, match=_named(proxy)) as caught:
            index.search("wing", top_k=3)
        assert "s3cret" not in str(caught.value)
        await index.aclose()


def test_qdrant_by_grpc_names_it(proxy: _Proxy) -> None:
    proxy.broken = True
    with pytest.raises(ConnectorError, match=_named(proxy)):
        QdrantConnector.connect(f"qdrant://{FAR}:6333/docs", grpc=True, timeout_s=1)


@pytest.mark.parametrize("broken", ["refusing", "gone"])
def test_services_are_reached_through_it_and_errors_name_it(proxy: _Proxy, broken: str) -> None:
    with serve(rerank_server.documented) as reranking, serve() as embedding:
        near = [urlsplit(each.url) for each in (reranking, embedding)]
        remote = Remote(f"tei:http://{FAR}:{near[0].port}")
        embedder = HttpEmbedder("ollama", "m", url=f"http://{FAR}:{near[1].port}")
        assert remote.score("q", ["a"]) == [rerank_server.score("q", "a")]
        assert embedder.embed_queries(["a"]).shape == (1, 4)
        assert len(proxy.asked) == 2
    if broken == "gone":
        proxy.shutdown()
        proxy.server_close()
    proxy.broken = True
    for ask in (lambda: remote.score("other", ["b"]), lambda: embedder.embed_queries(["b"])):
        with pytest.raises(ModelError, match=_named(proxy)) as caught:
            ask()
        assert "s3cret" not in str(caught.value)


def _named(proxy: _Proxy) -> str:
    return rf"through the proxy http://127\.0\.0\.1:{proxy.server_port} \(HTTP_PROXY\)"
