"""Listening: until it is told to stop, and then until every request is answered."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

import orjson
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.server.app import Server
from retrieve_rerank.server.chosen import check_served
from retrieve_rerank.server.keys import Keys
from retrieve_rerank.settings.sources import ServerSettings, Settings

HEADERS_S = 10.0
"""Seconds in which a connection must have brought the headers of a request."""

KEEP_ALIVE_S = 75.0
"""Longer than load balancers keep idle connections, so that these close them, and not we."""


ANSWER_S = 60.0
"""Seconds in which a client must have read what is sent: what it leaves is kept in memory."""


class PatientProtocol(H11Protocol):
    """Close connections whose headers drip in, or never come, and whose answers are not read."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request's headers, where they have begun."""
        super().data_received(data)
        if self._in_request():
            self._stop_waiting()
        elif self._deadline is None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_sending()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(ANSWER_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on, as it has read."""
        self._stop_sending()
        super().resume_writing()

    def _stop_sending(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _in_request(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # before the first request
        return cycle is not None and not cycle.response_complete

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._in_request() and self.timeout_keep_alive_task is None:
            self.transport.close()


class DrainingServer(uvicorn.Server):
    """Answer what still comes for a while after SIGTERM, so that nobody meets a closed door."""

    def __init__(self, server: Server) -> None:
        super().__init__(_config(server))
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first SIGTERM; end at once on another signal, or another one."""
        if sig != signal.SIGTERM or self._server.app.draining or self._loop is None:
            super().handle_exit(sig, frame)
            return
        self._server.drain()
        stop = super().handle_exit
        delay_s = self._server.settings.drain_s
        loop = self._loop
        loop.call_soon_threadsafe(lambda: loop.call_later(delay_s, stop, sig, None))


def run(settings: Settings, *, on_listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; `on_listening` hears the URL.

    Raises ConfigError where the address cannot be listened at, and what `Server` raises.
    """
    listening = bind(settings.server)
    try:
        server = DrainingServer(Server(settings))
        on_listening(url_of(listening))
        server.run(sockets=[listening])
    finally:
        listening.close()


def check(settings: Settings) -> None:
    """Raise what is wrong with the settings, without loading a model or opening an index."""
    Keys(settings.server)
    check_served(settings)


def bind(settings: ServerSettings) -> socket.socket:
    """Take the address before anything is loaded, so that one that is taken is told at once."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        family, kind, protocol, _, address = found[0]
        # With the protocol named: asyncio sets TCP_NODELAY only where it is, and without that each
        # answer waits up to 40 ms for the client's acknowledgement of its header.
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as exc:
        where = f"{settings.host} port {settings.port}"
        raise ConfigError(f"cannot listen at {where}: {exc.strerror or exc}") from exc
    return bound


def url_of(listening: socket.socket) -> str:
    """Return where a socket that is bound listens."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _config(server: Server) -> uvicorn.Config:
    settings = server.settings
    return uvicorn.Config(
        server.app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        root_path=settings.root_path,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=int(KEEP_ALIVE_S),
        timeout_graceful_shutdown=int(settings.deadline_s) + 1,
    )


class JsonLines(logging.Handler):
    """Write each record as a line of JSON; texts of queries and documents are in none."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        told = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            told["error"] = logging.Formatter().formatException(record.exc_info)
        try:
            line = orjson.dumps(told, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError, TypeError):
            self.handleError(record)


def log_to(stream: TextIO = sys.stderr) -> None:
    """Have this package and uvicorn log as lines of JSON."""
    handler = JsonLines(stream)
    for name in ("retrieve_rerank", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
