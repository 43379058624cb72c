"""Requests that nobody should send: each is answered by 4xx or a closed connection."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from retrieve_rerank.server import bodies, running
from tests.server.conftest import Running

DEEP = 100_000

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"query": "x"',
    "null": b"null",
    "a list": b"[]",
    "a text": b'"query"',
    "NaN": b'{"query": "x", "documents": ["y"], "top_n": NaN, "top_k": NaN}',
    "a number without end": b'{"query": "x", "documents": ["y"], "top_n": ' + b"9" * 5000 + b"}",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep lists without end": b'{"query":' + b"[" * DEEP,
    "a deep filter": b'{"query": "x", "filter": ' + b'{"not":' * 900 + b"{}" + b"}" * 901,
    "no UTF-8": b'{"query": "\xff\xfe", "documents": ["x"]}',
    "a deep half of a pair": b'{"query": "\\ud800", "a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "half of a pair, and NaN": b'{"query": "\\ud800", "top_n": NaN}',
    "half of a pair, and no number": b'{"query": "\\ud800", "documents": ["a"], "x": 1e999}',
}

WRONG: list[Any] = [
    {"query": 1, "documents": ["x"], "texts": ["x"]},
    {"query": ["x"], "documents": ["x"], "texts": ["x"]},
    {"query": "", "documents": ["x"], "texts": ["x"]},
    {"query": "x", "documents": "x", "texts": "x", "index": 1},
    {"query": "x", "documents": {}, "texts": {}, "top_k": True},
    {"query": "x", "documents": [None], "texts": [None], "top_k": -1},
    {"query": "x", "documents": [["x"]], "texts": [["x"]], "top_k": 1e99},
    {"query": "x", "documents": [], "texts": [], "top_k": "1"},
    {"query": "x", "documents": ["x"] * 100_000, "texts": ["x"] * 100_000, "exclude": ["x"] * 9999},
    {"query": "x" * 2_000_000, "documents": ["x"], "texts": ["x"]},
    {"query": "x", "documents": ["x" * 2_000_000], "texts": ["x" * 2_000_000], "filter": 3},
    {
        "query": "x",
        "filter": {"year": list(range(5000))},
        "documents": ["x"],
        "top_n": 0,
        "top_k": 0,
    },
    {"query": "x", "documents": [1] * 200_000, "texts": [1] * 200_000, "filter": {"year": 2**64}},
    {"query": "x", "documents": [], "texts": [], "filter": {"year": "1" * 400}},
    {"query": "x", "documents": [], "texts": [], "filter": {"year": {"gte": "1" * 400}}},
    {
        "query": "x",
        "documents": [{"text": "x" * 10_000}],
        "rank_fields": ["text"] * 300,
        "texts": [],
        "filter": {"year": 10**30},
    },
    {
        "query": "x",
        "documents": [{"text": "x" * 100_000}],
        "rank_fields": ["text"] * 20,
        "texts": [],
        "filter": {"year": -(2**63) - 1},
    },
]

PATHS = ["/search", "/rerank", "/cohere/v1/rerank", "/jina/v1/rerank", "/voyage/v1/rerank"]


def refused(status: int, text: str) -> bool:
    return 400 <= status < 500 and "Traceback" not in text and len(text) < 2000


@pytest.mark.parametrize("path", [*PATHS, "/tei/rerank"])
def test_bodies_that_are_no_request_are_refused(server: Running, path: str) -> None:
    kind = {"Content-Type": "application/json"}
    for name, body in BODIES.items():
        found = server.client.post(path, content=body, headers=kind)
        assert refused(found.status_code, found.text), name
        assert isinstance(found.json(), dict)
    for number, content in enumerate(WRONG):
        found = server.client.post(path, content=json.dumps(content), headers=kind)
        assert refused(found.status_code, found.text), number
    kinds: list[dict[str, str]] = [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {**kind, "Content-Encoding": "gzip"},
    ]
    for headers in kinds:
        assert server.client.post(path, content=b"{}", headers=headers).status_code == 415
    large = server.client.post(path, content=b" " * (17 << 20), headers=kind)
    assert large.status_code == 413 and large.headers["connection"] == "close"


def test_odd_texts_are_texts_like_others(server: Running) -> None:
    odd = ["\x00\x1b[31m\x7f", "\u202e", " ", "", "💥" * 1000, "'; DROP TABLE", "{{7*7}}"]
    body = {"query": "\x00\u2028x", "documents": odd, "return_documents": True}
    found = server.post("/rerank", body).json()["results"]
    assert {row["document"]["text"] for row in found} == set(odd)
    half = b'{"query": "x \\ud83d", "documents": ["\\ude00 y"], "return_documents": true}'
    kind = {"Content-Type": "application/json"}
    answer = server.client.post("/rerank", content=half, headers=kind)
    assert answer.json()["results"][0]["document"]["text"] == "? y"


def exchange(server: Running, sent: bytes, *, close: bool = False, wait_s: float = 20.0) -> bytes:
    """Send bytes as they are; return what comes until the connection is closed."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.settimeout(wait_s)
        connection.sendall(sent)
        if close:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except (ConnectionError, TimeoutError) as exc:
            assert not isinstance(exc, TimeoutError), "neither answered nor closed"
        return found


POST = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

RAW: dict[str, bytes] = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    "a line feed in a header": POST
    + b"X-Request-ID: a\nSet-Cookie: b\r\nContent-Length: x\r\n\r\n",
    "a carriage return in a header": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n",
    "headers without end": b"GET /health HTTP/1.1\r\nX: " + b"y" * 200_000,
    "a negative length": POST + b"Content-Length: -5\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
    "chunks that are none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_http_is_refused_and_the_connection_closed(server: Running, name: str) -> None:
    found = exchange(server, RAW[name])
    assert not found or found.split()[1].startswith(b"4"), found[:200]
    assert b"Set-Cookie" not in found and b"Traceback" not in found


@pytest.mark.parametrize(
    "path",
    [
        "/../metrics",
        "/search/../../etc/passwd",
        "//health",
        "/%2e%2e/metrics",
        "/health%00",
        "/x" * 999,
    ],
)
def test_paths_that_lead_elsewhere_lead_nowhere(server: Running, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange(server, request.encode()).startswith(b"HTTP/1.1 404")


def test_pages_of_other_hosts_are_not_answered_where_nobody_needs_a_key(server: Running) -> None:
    body = {"query": "flutter"}
    for origin in ("http://evil.example", "https://evil.example:8000", "null", "http://[", ""):
        refused = server.post("/search", body, Origin=origin, Host="evil.example")
        assert refused.status_code == 403, origin
    for origin in ("http://localhost:3000", "http://127.0.0.1", "http://[::1]:8000"):
        assert server.post("/search", body, Origin=origin).status_code == 200


def test_an_id_that_is_none_is_not_given_back(server: Running) -> None:
    for given in ("a b", "x" * 500, "<script>", "é".encode().decode("latin-1")):
        found = server.client.get("/health", headers=[(b"X-Request-ID", given.encode("latin-1"))])
        assert found.headers["x-request-id"] != given


def test_a_connection_that_is_half_closed_is_let_go(server: Running) -> None:
    exchange(server, POST + b"Content-Length: 100\r\n\r\n{", close=True)
    exchange(server, b"", close=True)


def test_what_drips_in_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "HEADERS_S", 0.3)
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    assert exchange(server, b"GET /health HTTP/1.1\r\nHost:") == b""
    assert exchange(server, b"") == b""
    found = exchange(server, POST + b"Content-Length: 100\r\n\r\n{")
    assert found.startswith(b"HTTP/1.1 408")
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.settimeout(20)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")  # the next request on the same connection
        while connection.recv(65536):
            pass


def test_an_answer_that_is_not_read_is_not_kept(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "ANSWER_S", 0.3)
    lost, losing = threading.Event(), running.PatientProtocol.connection_lost

    def tell(self: running.PatientProtocol, exc: Exception | None) -> None:
        losing(self, exc)
        lost.set()

    monkeypatch.setattr(running.PatientProtocol, "connection_lost", tell)
    texts = ["x" * 900_000] * 12
    body = json.dumps({"query": "x", "documents": texts, "return_documents": True}).encode()
    head = POST.replace(b"/search", b"/rerank") + f"Content-Length: {len(body)}\r\n\r\n".encode()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.settimeout(30)
        connection.sendall(head + body)
        found = len(connection.recv(1))
        assert lost.wait(30)
        while part := connection.recv(65536):
            found += len(part)
    assert 0 < found < len(body)
