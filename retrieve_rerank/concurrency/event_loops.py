"""One client for each event loop: a pool of connections belongs to the loop that opened it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes a client at a loop's first use, and closes it when asked to, or with its loop."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]
        ] = WeakKeyDictionary()

    async def get(self) -> T:
        """Return this loop's client."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            client = self._make()
            holder = self._hold(client)
            self._held[loop] = (client, holder)
            await anext(holder)
        return self._held[loop][0]

    async def aclose(self) -> None:
        """Close this loop's client, if there is one."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    async def _hold(self, client: T) -> AsyncGenerator[None, None]:
        # asyncio.run and its like close the generators of a loop before the loop itself, which is
        # the last moment at which connections can be closed.
        try:
            yield
        finally:
            await self._close(client)
