"""A local server that answers as embedding servers document it, or as a test tells it to."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSION = 4
Reply = tuple[int, dict[str, str], bytes]


def vector(text: str) -> list[float]:
    """The server's vector of a text, prompt included."""
    row = np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIMENSION)
    return [round(float(value), 6) for value in row]


@dataclass
class EmbeddingServer:
    """What was asked of it, and what it will answer."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    """(path, headers in lower case, body) of each request."""
    replies: list[Reply | Callable[[], Reply]] = field(default_factory=list)
    """Answers that come first, one a request; then those of the documentation."""

    @property
    def texts(self) -> list[str]:
        """All texts that came, in order."""
        keys = ("input", "inputs", "texts")
        return [t for _, _, body in self.requests for k in keys for t in (body or {}).get(k, [])]


def ok(content: Any) -> Reply:
    return 200, {}, json.dumps(content).encode()


@contextmanager
def serve(documented: Callable[[str, Any], Reply] | None = None) -> Iterator[EmbeddingServer]:
    """Run the server on a free port; `documented` answers (path, body) as other servers do."""
    state = EmbeddingServer()
    answer = documented or _documented

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave at once, as from most servers

        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, body: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.path, headers, body))
            planned = state.replies.pop(0) if state.replies else answer(self.path, body)
            status, extra, content = planned() if callable(planned) else planned
            try:
                self.send_response(status)
                for name, value in {**extra, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client has given up
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _documented(path: str, body: Any) -> Reply:
    if path == "/v1/embeddings":
        rows = [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(_rows(body["input"]))
        ]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return ok({"object": "list", "data": rows, "model": body["model"], "usage": usage})
    if path == "/api/embed":
        return ok({"model": body["model"], "embeddings": _rows(body["input"]), "load_duration": 1})
    if path == "/info":
        return ok({"model_id": "intfloat/multilingual-e5-small", "model_sha": "abc123"})
    if path == "/embed":
        return ok(_rows(body["inputs"]))
    if path == "/v2/embed":
        vectors = {"float": _rows(body["texts"])}
        return ok({"id": "1", "embeddings": vectors, "texts": body["texts"], "meta": {}})
    return 404, {}, b"404 page not found"


def _rows(texts: Sequence[str]) -> list[list[float]]:
    return [vector(text) for text in texts]
