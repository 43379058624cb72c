"""How much may be under way at once; what is more is refused at once, and comes again."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from retrieve_rerank.concurrency.caller import Caller
from retrieve_rerank.models.runtimes.common_batches import BatchReport
from retrieve_rerank.server.refusals import Refusal

MOST_REQUESTS = 256
"""Under way at once: each may need a thread."""

PATIENCE_S = 10.0
"""How long the wait may be longer than it should: a burst is worked off, an overload stays."""

BATCH = 20
"""Documents of a hundred tokens in one turn on a CPU, see `Batching.budget`."""

_LEARNING_RATE = 0.2


@dataclass(slots=True)
class _Line:
    """The requests under way to one model, or to the models of one index."""

    documents: list[int] = field(default_factory=list)
    """Of each request."""
    document_s: float = 0.0
    """What a document takes in the batches there have been; 0 where it does not run in any."""
    calm_at: float = 0.0
    """When a request last came for which the wait was no longer than it should be."""
    strict_until: float = 0.0
    """Until when longer waits are refused."""

    def wait_s(self, documents: int) -> float:
        """Estimate how long others will have the model before so many documents are scored.

        Requests take turns, batch by batch: a large one keeps a small one waiting for its turn.
        """
        turn = max(documents, BATCH)
        return self.document_s * sum(min(each, turn) for each in [*self.documents])


class Admission:
    """Count the documents of all requests under way; they come by one event loop.

    A wait should be `wait_s` at most, or what the request itself takes if that is more. Longer ones
    are refused once all have been longer for `PATIENCE_S`, until none has been for as long; one for
    which the request has no time is refused at once. So the queue that a passing burst leaves is
    worked off, and one that stands in an overload stays short (after CoDel, Nichols and Jacobson,
    ACM Queue 2012).
    """

    def __init__(self, *, documents: int, wait_s: float, requests: int = MOST_REQUESTS) -> None:
        self._most_documents = documents
        self._most_requests = requests
        self._most_wait_s = wait_s
        self._lines: defaultdict[str, _Line] = defaultdict(_Line)
        self._lock = threading.Lock()  # as they leave by any thread
        self.documents = 0
        self.requests = 0

    def learn(self, served: str, report: BatchReport) -> None:
        """Take in what a batch took; may be called from any thread."""
        line = self._lines[served]
        document_s = report.seconds / report.sequences
        rate = _LEARNING_RATE if line.document_s else 1.0
        line.document_s += rate * (document_s - line.document_s)

    @contextmanager
    def admit(self, served: str, documents: int, who: Caller) -> Iterator[None]:
        """Count a request while it is worked on; raise Refusal where there is no room for it.

        One that is alone has room, however large it is. One that was given up counts for as long as
        a thread works for it.
        """
        line = self._lines[served]
        wait_s, now = line.wait_s(documents), time.monotonic()
        left_s = who.deadline.left_s
        most_s = math.inf if left_s is None else left_s
        should_s = max(self._most_wait_s, documents * line.document_s)
        if wait_s <= should_s:
            line.calm_at = now
        elif now < line.strict_until or now - line.calm_at > PATIENCE_S:
            line.strict_until = now + PATIENCE_S
            most_s = min(most_s, should_s)
        full = self.documents + documents > self._most_documents
        if self.requests and (full or self.requests >= self._most_requests or wait_s > most_s):
            raise Refusal(429, "too many requests are under way", retry_after_s=wait_s)
        with self._lock:
            line.documents.append(documents)
            self.documents += documents
            self.requests += 1

        def leave() -> None:
            with self._lock:
                line.documents.remove(documents)
                self.documents -= documents
                self.requests -= 1

        try:
            yield
        finally:
            who.when_left(leave)
