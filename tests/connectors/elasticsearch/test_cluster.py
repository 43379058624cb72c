"""What is sent again and what is not, against a stub that answers as servers and proxies do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from retrieve_rerank.concurrency.retrying import LONGEST_WISH_S
from retrieve_rerank.connectors.elasticsearch.address import Address, client_options
from retrieve_rerank.connectors.elasticsearch.client import Cluster, Request, Steps
from retrieve_rerank.connectors.elasticsearch.writer import Operation, bulk
from retrieve_rerank.errors import (
    ConnectionFailedError,
    ConnectorError,
    DeadlineExceededError,
    RateLimitedError,
    RetrieveRerankError,
    UnsupportedServerError,
)

GET = Request("GET", "/")


class Answer(NamedTuple):
    status: int = 200
    body: Any = {}  # noqa: RUF012 - never changed
    headers: dict[str, str] = {"X-Elastic-Product": "Elasticsearch"}  # noqa: RUF012


BUSY = Answer(503, {"error": {"type": "x", "reason": "starting"}})


class Stub(ThreadingHTTPServer):
    """Answers as it is told to, the last answer over and over, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = [Answer()]
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    def cluster(self, **options: Any) -> Cluster:
        hosts = [f"http://127.0.0.1:{self.server_port}"]
        return Cluster({"hosts": hosts, **options}, location="stub")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, self.rfile.read(length)))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        html = isinstance(answer.body, str)
        data = answer.body.encode() if html else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(len(data)))
        if "x-opaque-id" in headers:  # as the server does
            self.send_header("X-Opaque-Id", headers["x-opaque-id"])
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cluster(stub: Stub) -> Iterator[Cluster]:
    made = stub.cluster()
    yield made
    made.close()


def one(request: Request) -> Steps[Any]:
    return (yield request)


async def test_both_releases_of_the_client_speak_so_that_both_of_the_server_understand(
    stub: Stub, cluster: Cluster
) -> None:
    for request in (GET, Request("POST", "/", {"a": 1}), Request("POST", "/", b'{"a": 1}\n')):
        cluster.send(request)
        await cluster.arun(one(request))
    assert len(stub.asked) == 6
    mime = "application/vnd.elasticsearch+{}; compatible-with=8"
    for _, headers, _ in stub.asked:
        assert headers["accept"] == mime.format("json")
        assert headers.get("accept-encoding", "identity") == "identity"
    kinds = [headers.get("content-type") for _, headers, _ in stub.asked[::2]]
    assert kinds == [None, mime.format("json"), mime.format("x-ndjson")]
    assert stub.asked[4][2] == stub.asked[5][2] == b'{"a": 1}\n'
    await cluster.aclose()


async def test_answers_come_compressed_where_that_is_asked_for(stub: Stub) -> None:
    address = Address.parse(f"elasticsearch://127.0.0.1:{stub.server_port}/docs")
    for compress in (False, True):
        cluster = Cluster(client_options(address, compress=compress), location="stub")
        cluster.send(GET)
        await cluster.arun(one(GET))
        await cluster.aclose()
    found = [headers["accept-encoding"] for _, headers, _ in stub.asked]
    assert found == ["identity", "identity", "gzip", "gzip"]


async def test_what_may_pass_is_tried_again(stub: Stub, cluster: Cluster) -> None:
    for again in (BUSY, Answer(502, "<html>bad gateway</html>"), Answer(429, {"error": "busy"})):
        stub.answers = [again, again, Answer(body={"ok": True})]
        assert cluster.send(GET) == {"ok": True}
        stub.answers = [again, Answer(body={"ok": True})]
        assert await cluster.arun(one(GET)) == {"ok": True}
    assert len(stub.asked) == 15
    await cluster.aclose()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_what_stays_as_it_is_is_not_tried_again(stub: Stub, cluster: Cluster, status: int) -> None:
    stub.answers = [Answer(status, {"error": "no"})]
    with pytest.raises(ConnectorError):
        cluster.send(GET)
    assert len(stub.asked) == 1


def test_what_must_not_be_done_twice_is_not(stub: Stub, cluster: Cluster) -> None:
    stub.answers = [BUSY]
    with pytest.raises(ConnectionFailedError):
        cluster.send(GET._replace(safe=False))
    assert len(stub.asked) == 1


@pytest.mark.parametrize("parts", ["responses", "docs"])
def test_parts_of_an_answer_are_errors_too(stub: Stub, cluster: Cluster, parts: str) -> None:
    busy = {"error": {"type": "no_shard_available_action_exception", "reason": "x"}, "status": 503}
    good = Answer(body={parts: [{"ok": True}]})
    stub.answers = [Answer(body={parts: [{"ok": True}, busy]}), good]
    assert cluster.send(GET) == good.body
    stub.answers = [Answer(body={parts: [{"error": "no", "status": 400}]})]
    with pytest.raises(ConnectorError, match="no"):
        cluster.send(GET)
    assert len(stub.asked) == 3


def test_a_server_may_say_when_to_come_again(stub: Stub, cluster: Cluster) -> None:
    later = Answer(429, {"error": "busy"}, {"Retry-After": str(int(LONGEST_WISH_S) + 1)})
    stub.answers = [later]
    with pytest.raises(RateLimitedError):
        cluster.send(GET)  # later than a search would wait
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(headers={}),
        Answer(body={"version": {"distribution": "opensearch"}}, headers={}),
        Answer(body="<html>log in</html>", headers={}),
    ],
)
def test_other_servers_are_told_apart(stub: Stub, cluster: Cluster, answer: Answer) -> None:
    stub.answers = [answer]
    with pytest.raises(UnsupportedServerError, match=r"X-Elastic-Product.*OpenSearch"):
        cluster.send(GET)


async def test_a_server_that_never_answers_runs_into_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = [f"http://127.0.0.1:{silent.getsockname()[1]}"]
        cluster = Cluster({"hosts": hosts}, location="silent")
        with pytest.raises(DeadlineExceededError):
            cluster.run(one(GET), timeout_s=0.2)
        with pytest.raises(DeadlineExceededError):
            await cluster.arun(one(GET), timeout_s=0.2)
        await cluster.aclose()


def test_an_operation_may_recover_from_an_error(stub: Stub, cluster: Cluster) -> None:
    def steps() -> Steps[str]:
        try:
            yield GET
        except RetrieveRerankError as exc:
            return type(exc).__name__
        return "answered"

    stub.answers = [Answer(404, {"error": {"type": "index_not_found_exception", "reason": "x"}})]
    assert cluster.run(steps()) == "IndexNotFoundError"
    stub.answers = [Answer()]
    assert cluster.run(steps()) == "answered"


def test_what_the_server_had_no_room_for_is_sent_again(stub: Stub, cluster: Cluster) -> None:
    def item(id_: str, status: int) -> dict[str, Any]:
        error = {"error": {"type": "x", "reason": f"no {id_}"}} if status > 299 else {}
        return {"index": {"_id": id_, "status": status, **error}}

    stub.answers = [
        Answer(body={"items": [item("a", 201), item("b", 429), item("c", 400)]}),
        Answer(body={"items": [item("b", 201)]}),
    ]
    lines = {id_: f'{{"index": {{"_id": "{id_}"}}}}\n{{}}\n'.encode() for id_ in "abc"}
    done, refused = bulk(cluster, "docs", [Operation(id_, lines[id_]) for id_ in "abc"])
    assert done == {"a": 201, "b": 201}
    assert refused.keys() == {"c"}
    assert "no c" in refused["c"]
    assert [body for _, _, body in stub.asked] == [lines["a"] + lines["b"] + lines["c"], lines["b"]]
