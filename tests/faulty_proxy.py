"""A proxy in front of a real server that spoils answers: by doubling, cutting, resetting, holding.

It passes bytes on as they come. What is doubled is a whole answer, head and body: twice a piece of
one would be no answer at all.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Mode = Literal["double", "cut", "reset", "hang", "delay"]

DELAY_S = 0.3

HERE = "127.0.0.2"
"""Of this machine, and yet no address that clients keep no connections to."""


class FaultyProxy:
    """Spoils the next `left` answers as `mode` says."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.mode: Mode = "double"
        self.left = 0
        self.connections = 0
        self.asked_after: dict[int, int] = {}
        """Requests that came over each connection after it had given a doubled answer."""

    @property
    def url(self) -> str:
        return f"http://{HERE}:{self.port}"

    def spoil(self, mode: Mode, times: int = 1) -> None:
        """Spoil so many answers from now on."""
        self.mode, self.left = mode, times

    async def accept(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        """Serve a connection."""
        self.connections += 1
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        number = self.connections
        ways = (
            self._requests(from_client, to_server, number),
            self._answers(from_server, to_client, number),
        )
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            to_server.close()
            to_client.close()

    async def _requests(
        self, read: asyncio.StreamReader, write: asyncio.StreamWriter, number: int
    ) -> None:
        with suppress(OSError):
            while data := await read.read(1 << 16):
                if number in self.asked_after:
                    self.asked_after[number] += data.count(b" HTTP/1.1\r\n")
                write.write(data)
                await write.drain()

    async def _answers(
        self, read: asyncio.StreamReader, write: asyncio.StreamWriter, number: int
    ) -> None:
        with suppress(OSError):
            while data := await read.read(1 << 20):
                mode = self.mode if self.left > 0 else None
                self.left -= 1 if mode else 0
                if mode == "double":
                    self.asked_after.setdefault(number, 0)
                    data = await _whole(data, read)
                if mode == "reset":
                    write.transport.abort()
                    return
                if mode in ("cut", "hang"):
                    write.write(data[: len(data) // 2])
                    await write.drain()
                    if mode == "cut":
                        return
                    await asyncio.sleep(60)
                if mode == "delay":
                    await asyncio.sleep(DELAY_S)
                write.write(data * 2 if mode == "double" else data)
                await write.drain()


async def _whole(data: bytes, read: asyncio.StreamReader) -> bytes:
    """Read on until an answer is whole, by its length or, where it comes in chunks, its end."""
    while True:
        head, ended, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if ended and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")):
            return data
        more = await read.read(1 << 20)
        if not more:
            return data
        data += more


@contextmanager
def faulty_proxy(port: int) -> Iterator[FaultyProxy]:
    """Run a proxy to a port of this machine, in a thread."""
    proxy, ready = FaultyProxy(port), threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        server = await asyncio.start_server(proxy.accept, HERE, 0, limit=1 << 20)
        proxy.port = server.sockets[0].getsockname()[1]
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        ready.set()
        await stopped.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        stop[0]()
        thread.join(10)
