"""A server of this machine in the place of the Hugging Face hub; what it answers, a test says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple, Self


class Response(NamedTuple):
    """What is sent back."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HubServer(ABC):
    """Answers while `serving`."""

    server: ThreadingHTTPServer

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server.server_port}"

    @abstractmethod
    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> Response:
        """Answer a request; the content is not sent to HEAD."""

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Listen at a free port."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                response = hub.answer(self, body)
                length = {"Content-Length": str(len(response.content))}
                self.send_response(response.status)
                for name, value in {**response.headers, **length}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(response.content)

            do_HEAD = do_GET = do_POST = respond

            def log_message(self, *arguments: object) -> None:
                """Stay silent."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.server = server
            Thread(target=server.serve_forever, daemon=True).start()
            yield self
            server.shutdown()
