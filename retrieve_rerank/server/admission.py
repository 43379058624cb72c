"""How much may be under way at once; what is more is refused at once, and comes again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from retrieve_rerank.server.refusals import Refusal

MOST_REQUESTS = 256
"""Under way at once: each may need a thread."""

_LEARNING_RATE = 0.2
_LONGEST_S = 30.0


class Admission:
    """Count the documents of all requests under way; for one event loop."""

    def __init__(self, *, documents: int, requests: int = MOST_REQUESTS) -> None:
        self._most_documents = documents
        self._most_requests = requests
        self.documents = 0
        self.requests = 0
        self._document_s = 0.01  # until some have been measured

    @contextmanager
    def admit(self, documents: int) -> Iterator[None]:
        """Count a request while it is worked on; raise Refusal where there is no room for it.

        One that is alone has room, however large it is.
        """
        full = self.documents + documents > self._most_documents
        if self.requests and (full or self.requests >= self._most_requests):
            wait_s = min(_LONGEST_S, self.documents * self._document_s)
            raise Refusal(429, "too many requests are under way", retry_after_s=wait_s)
        self.documents += documents
        self.requests += 1
        started = time.monotonic()
        try:
            yield
        finally:
            # What a document took while all those under way shared the machine.
            took_s = (time.monotonic() - started) / max(1, self.documents)
            self._document_s += _LEARNING_RATE * (took_s - self._document_s)
            self.documents -= documents
            self.requests -= 1
