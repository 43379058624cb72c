"""A server before a real one that spoils its answers, and answers that no client wants."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from hypothesis import strategies as st


class Answer(NamedTuple):
    """What goes over the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
PAGE = b"<html><form action='/login'><input type=password></form></html>"

ANSWERS: dict[str, Answer] = {
    "a login page": Answer(200, PAGE, HTML),
    "a login page that calls itself JSON": Answer(200, PAGE, JSON),
    "a page of another kind": Answer(200, b"<x/>", {"Content-Type": "application/xml"}),
    "no kind at all": Answer(200, b"<x/>", {}),
    "a kind that is none": Answer(200, b"{}", {"Content-Type": "\xe9;;=/"}),
    "nothing": Answer(200, b"", JSON),
    "null": Answer(200, b"null", JSON),
    "a list": Answer(200, b"[]", JSON),
    "a list of lists": Answer(200, b"[[]]", JSON),
    "a number": Answer(200, b"7", JSON),
    "a text": Answer(200, b'"x"', JSON),
    "an empty object": Answer(200, b"{}", JSON),
    "NaN": Answer(200, b'{"hits": NaN}', JSON),
    "a huge number": Answer(200, b'{"took": ' + b"9" * 10_000 + b"}", JSON),
    "lists without end": Answer(200, b"[" * 100_000, JSON),
    "deep lists": Answer(200, b"[" * 5_000 + b"]" * 5_000, JSON),
    "deep objects": Answer(200, b'{"error":' * 900 + b"1" + b"}" * 900, JSON),
    "a login page in another charset": Answer(200, b"<p>acc\xe8s</p>", HTML),
    "bytes that are no UTF-8": Answer(200, b'{"a": "\xff\xfe"}', JSON),
    "packed twice": Answer(
        200, gzip.compress(gzip.compress(b"{}")), {**JSON, "Content-Encoding": "gzip, gzip"}
    ),
    "packed, and cut": Answer(
        200, gzip.compress(b'{"a": 1}')[:-12], {**JSON, "Content-Encoding": "gzip"}
    ),
    "another packing": Answer(200, b"{}", {**JSON, "Content-Encoding": "br"}),
    "no packing at all": Answer(200, b"{}", {**JSON, "Content-Encoding": "gzip"}),
    "a long error": Answer(500, b"x" * (1 << 20), HTML),
    "a long error in JSON": Answer(400, json.dumps({"error": "x" * (1 << 20)}).encode(), JSON),
    "a deep error": Answer(400, b'{"error":' * 900 + b"1" + b"}" * 900, JSON),
    "an error that is a list": Answer(400, b'[{"error": 1}]', JSON),
    "a pause of ages": Answer(429, b"{}", {**JSON, "Retry-After": "9" * 400}),
    "a pause until the year 9999": Answer(
        429, b"{}", {**JSON, "Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}
    ),
    "a redirection": Answer(302, b"", {"Location": "http://127.0.0.1:1/login"}),
}

LONGEST_MESSAGE = 1500


def bomb(megabytes: int) -> Answer:
    """Pack so many megabytes of zeros, a thousand times smaller."""
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(bytes(1 << 20)) for _ in range(megabytes)]
    packed = b"".join(pieces) + packer.flush()
    return Answer(200, packed, {**JSON, "Content-Encoding": "gzip"})


@contextmanager
def before(target: str, spoil: Callable[[Answer], Answer]) -> Iterator[str]:
    """Stand before a server; `spoil` makes of a true answer the one that is given.

    What was asked before is answered as before, without the server. Yields the URL.
    """
    known: dict[tuple[str, str], Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            key = (self.command, self.path)
            if key not in known:
                known[key] = self.ask(body)
            given = spoil(known[key])
            # Without the first header Elasticsearch's client believes no answer at all.
            headers = {"X-Elastic-Product": "Elasticsearch", **given.headers}
            try:
                self.send_response(given.status)
                for name, value in {**headers, "Content-Length": str(len(given.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(given.body)
            except OSError:  # the client has had enough
                self.close_connection = True

        def ask(self, body: bytes | None) -> Answer:
            headers = {
                name: value
                for name in ("Content-Type", "Accept")
                if (value := self.headers.get(name))
            }
            request = Request(f"{target}{self.path}", body, headers, method=self.command)
            try:
                with urlopen(request, timeout=60) as found:
                    return Answer(found.status, found.read(), _kind(found.headers))
            except HTTPError as exc:
                return Answer(exc.code, exc.read(), _kind(exc.headers))

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = answer

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _kind(headers: Message) -> dict[str, str]:
    return {"Content-Type": headers["Content-Type"]}


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 10**400, 1e308, "", "x", "9" * 30, [], [None], [[]], {}, {"x": None}]
)


@st.composite
def spoiling(draw: st.DrawFn) -> Callable[[Any], Any]:
    """A change at some place of a JSON value: something odd, or nothing, in place of what is."""
    steps = draw(st.lists(st.integers(0, 30), max_size=8))
    odd = draw(ODD)
    leave_out = draw(st.booleans())

    def spoil(value: Any) -> Any:
        place = value
        for number, step in enumerate(steps):
            if not isinstance(place, dict | list) or not place:
                break
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[step % len(keys)]
            inner = place[key]
            if number == len(steps) - 1 or not isinstance(inner, dict | list) or not inner:
                if leave_out:
                    del place[key]
                else:
                    place[key] = odd
                return value
            place = inner
        return odd if not steps else value

    return spoil


def spoilt(answer: Answer, spoil: Callable[[Any], Any]) -> Answer:
    """Change an answer in JSON."""
    return answer._replace(body=json.dumps(spoil(json.loads(answer.body))).encode())
