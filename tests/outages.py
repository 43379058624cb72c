"""A server that goes away and comes back: a relay before it, whose sockets are really closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Passes on what comes to a port of its own, while it is up."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.bytes_there = self.bytes_back = 0
        """What has been passed on to the server, and back."""
        self._target = target
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def up(self) -> None:
        """Listen, at the same port as before."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._open.append(listening)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def down(self) -> None:
        """Close everything: further connections are refused."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):  # of those that were closed by the other side
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # when it is closed
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._open += [client, server]
                for each in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=each, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, there: bool) -> None:
        with suppress(OSError):
            while received := source.recv(1 << 16):
                with self._lock:
                    self.bytes_there += len(received) if there else 0
                    self.bytes_back += 0 if there else len(received)
                target.sendall(received)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relaying(target: int) -> Iterator[Relay]:
    """Relay to a port of this machine."""
    relay = Relay(target)
    relay.up()
    try:
        yield relay
    finally:
        relay.down()
