"""JSON over HTTP: retries, pauses, limits and secrets of every server of models."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from retrieve_rerank.errors import ModelError, RequestError
from retrieve_rerank.models.services import http
from retrieve_rerank.models.services.http import JsonServer, read_url
from retrieve_rerank.network.answers import SAID
from tests.models.embedding_server import EmbeddingServer, Reply, ok, serve

KEY = "secret-key"
BODY = {"text": "a"}
_MADE: list[JsonServer] = []  # kept, so that their connections close with their event loops


def echo(path: str, body: Any) -> Reply:
    return ok([path, body])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.setattr(http, "_JITTER", lambda state: 0.0)
    with serve(echo) as running:
        yield running


def service(
    url: str,
    *,
    key: str | None = KEY,
    url_variable: str | None = "SERVICE_URL",
    timeout_s: float = 30.0,
) -> JsonServer:
    made = JsonServer(
        read_url(url, where="SERVICE_URL"),
        name="service:m",
        key=key,
        key_variable="SERVICE_API_KEY",
        url_variable=url_variable,
        timeout_s=timeout_s,
    )
    _MADE.append(made)
    return made


def failing(status: int, content: object = "", **headers: str) -> Reply:
    return status, headers, json.dumps(content).encode()


async def test_threads_and_event_loops_are_answered_alike(server: EmbeddingServer) -> None:
    asked = service(server.url)

    assert asked.ask("v1/x", BODY) == await asked.aask("v1/x", BODY) == ["/v1/x", BODY]
    assert asked.ask("info") == await asked.aask("info") == ["/info", None]
    assert {headers["authorization"] for _, headers, _ in server.requests} == {f"Bearer {KEY}"}


def test_texts_that_utf_8_cannot_write_are_sent_all_the_same(server: EmbeddingServer) -> None:
    assert service(server.url).ask("", {"text": "half: \ud83d, Bär 熊"}) == [
        "/",
        {"text": "half: ?, Bär 熊"},
    ]
    assert server.requests[0][1]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        ((200, {}, b""), RequestError, "something else than JSON"),
        ((200, {}, b"<html>a proxy</html>"), RequestError, "something else than JSON"),
        ((200, {}, b"[" * 100_000), RequestError, "something else than JSON"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), ModelError, "answered 302"),
        (failing(400, {"message": "too long"}), RequestError, "answered 400: too long"),
        (failing(400, {"error": {"message": "bad"}}), RequestError, "answered 400: bad"),
        (
            failing(404, {"error": "no such model"}),
            ModelError,
            "404: no such model; check the name",
        ),
        (failing(413), RequestError, "answered 413"),
        (failing(422, {"detail": "no such field"}), RequestError, "answered 422: no such field"),
    ],
)
def test_answers_that_cannot_be_used_are_refused_at_once(
    server: EmbeddingServer, reply: Reply, error: type[Exception], message: str
) -> None:
    server.replies.append(reply)

    with pytest.raises(error, match=message) as raised:
        service(server.url).ask("x", BODY)
    assert type(raised.value) is error
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "busy",
    [
        failing(429, {"error": "busy"}, **{"Retry-After": "0"}),
        failing(429, {"error": "busy"}, **{"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}),
        failing(429, {"error": "busy"}, **{"Retry-After": "soon"}),
        failing(500),
        failing(503),
    ],
)
def test_a_busy_server_is_asked_again(server: EmbeddingServer, busy: Reply) -> None:
    server.replies += [busy] * (http.ATTEMPTS - 1)

    assert service(server.url).ask("x", BODY) == ["/x", BODY]
    assert len(server.requests) == http.ATTEMPTS


def test_the_pause_that_a_server_asks_for_is_kept_and_spread() -> None:
    with serve(echo) as server:
        server.replies.append(failing(429, **{"Retry-After": "1"}))
        began = time.monotonic()
        service(server.url).ask("x", BODY)

    assert time.monotonic() - began >= 1


def test_a_server_that_stays_busy_is_given_up(server: EmbeddingServer) -> None:
    server.replies += [failing(503, {"message": "loading"})] * (http.ATTEMPTS + 1)

    with pytest.raises(ModelError, match=r"service:m at .* answered 503: loading"):
        service(server.url).ask("x", BODY)
    assert len(server.requests) == http.ATTEMPTS


def test_a_long_pause_is_not_waited_for(server: EmbeddingServer) -> None:
    server.replies.append(failing(429, {"message": "quota"}, **{"Retry-After": "3600"}))

    with pytest.raises(ModelError, match="429: quota; it asks for a pause of 3600 s"):
        service(server.url).ask("x", BODY)
    assert len(server.requests) == 1


async def test_a_slow_server_is_not_waited_for(server: EmbeddingServer) -> None:
    released = threading.Event()

    def slow() -> Reply:
        released.wait(30)
        return ok({})

    server.replies += [slow, slow]
    asked = service(server.url, timeout_s=0.2)
    with pytest.raises(ModelError, match=r"service:m gave no answer within 0\.2 s"):
        await asked.aask("x", BODY)
    with pytest.raises(ModelError, match=r"service:m gave no answer within 0\.2 s"):
        asked.ask("x", BODY)
    released.set()
    assert len(server.requests) == 2, "one attempt each"


@pytest.mark.parametrize("part", ["headers", "body"])
async def test_a_server_that_drips_is_given_up_as_one_that_hangs(part: str) -> None:
    beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
    drop = b"X-Drop: 1\r\n" if part == "headers" else b" "
    connections = []

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            with suppress(OSError):  # the client has given up
                self.request.sendall(beginning if part == "headers" else beginning + b"\r\n")
                for _ in range(40):
                    self.request.sendall(drop)
                    time.sleep(0.05)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        asked = service(f"http://127.0.0.1:{server.server_address[1]}", timeout_s=0.4)
        try:
            with pytest.raises(ModelError, match=r"gave no answer within 0\.4 s"):
                asked.ask("x", BODY)
            with pytest.raises(ModelError, match=r"gave no answer within 0\.4 s"):
                await asked.aask("x", BODY)
        finally:
            server.shutdown()
    assert len(connections) == 2, "one attempt each"


def test_an_answer_without_end_is_cut_off(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1000)
    server.replies.append((200, {}, b"[" * 5000))

    with pytest.raises(ModelError, match="answers with more than 1,000 bytes"):
        service(server.url).ask("x", BODY)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("variable", "named"), [("SERVICE_URL", "SERVICE_URL"), (None, "the URL")])
def test_a_server_that_is_not_there_is_said_to_be(variable: str | None, named: str) -> None:
    with serve(echo) as gone:
        url = gone.url

    with pytest.raises(ModelError, match=rf"cannot be reached at .*/x .*and {named} right"):
        service(url, url_variable=variable).ask("x", BODY)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_variable_and_never_shown(
    server: EmbeddingServer, status: int
) -> None:
    server.replies.append(failing(status, {"error": {"message": f"bad key: {KEY}"}}))
    asked = service(server.url)

    with pytest.raises(ModelError, match=r"bad key: \*\*\*; set SERVICE_API_KEY") as raised:
        asked.ask("x", BODY)
    assert KEY not in f"{raised.value}{asked!r}"
    assert len(server.requests) == 1


def test_a_key_at_the_end_of_a_long_error_is_not_shown_in_part(server: EmbeddingServer) -> None:
    before = "x" * (SAID - 6)
    server.replies.append((401, {}, f"{before} {KEY} is no key".encode()))

    with pytest.raises(ModelError) as raised:
        service(server.url).ask("x", BODY)
    assert "401: xxx" in str(raised.value)
    assert KEY[:4] not in str(raised.value)


def test_a_key_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(
        ModelError, match="SERVICE_API_KEY holds characters that no key has"
    ) as told:
        service("http://localhost", key="se\ncret")
    assert "cret" not in str(told.value)


@pytest.mark.parametrize("credentials", ["user:hush", "u:PASSWORDX", "u", "a:a"])
def test_credentials_in_a_url_are_used_and_never_shown_not_even_packed(
    server: EmbeddingServer, credentials: str
) -> None:
    def repeat() -> Reply:
        header = server.requests[-1][1]["authorization"]
        return failing(401, {"error": f"no {credentials} here, not for {header}"})

    server.replies.append(repeat)
    asked = service(server.url.replace("http://", f"http://{credentials}@"), key=None)
    with pytest.raises(ModelError, match=r"sic \*\*\*; set") as raised:
        asked.ask("x", BODY)
    sent = server.requests[0][1]["authorization"].removeprefix("Basic ")
    assert len(sent) > 3
    assert sent not in str(raised.value)
    assert f"no {credentials} here" not in str(raised.value)
    assert asked.url == server.url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8080", "URL: localhost:8080 is no address; expected http://HOST"),
        ("http://user:hush@host:port", r"URL: http://\*\*\*@host:\*\*\* has a host or port"),
        ("https://host/v1?token=hush", r"URL: https://host/v1\?\*\*\* goes on"),
        ("elasticsearch://host", "is no server's URL; expected http://HOST"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_without_secrets(url: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        read_url(url, where="URL")
    assert "hush" not in str(raised.value)


def test_event_loops_and_threads_share_one(server: EmbeddingServer) -> None:
    asked = service(server.url)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(asked.ask("x", BODY))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(2):
        answers.append(asyncio.run(asked.aask("x", BODY)))
    assert answers == [["/x", BODY]] * 10


def test_connections_close_with_it() -> None:
    closed = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections open

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1")
            self.end_headers()
            self.wfile.write(b"1")

        def finish(self) -> None:
            super().finish()
            closed.set()

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            asked = service(f"http://127.0.0.1:{server.server_port}")
            _MADE.remove(asked)
            assert asked.ask("x") == 1
            assert not closed.is_set()
            del asked
            assert closed.wait(20)
        finally:
            server.shutdown()


async def test_connections_can_be_closed_before_their_loop(server: EmbeddingServer) -> None:
    asked = service(server.url)
    expected = await asked.aask("x", BODY)
    await asked.aclose()
    assert await asked.aask("x", BODY) == expected, "opened again"
    await asked.aclose()
    await asked.aclose()
