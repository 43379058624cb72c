"""One request on its way through the server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from retrieve_rerank.network.addresses import HIDDEN
from retrieve_rerank.server.keys import ANYBODY, Key

UNROUTED = "none"


@dataclass(slots=True)
class Visit:
    """One request: who asks, under which id, and what else is logged of it."""

    request_id: str
    key: Key = ANYBODY
    hurried: bool = False
    """Whether it sets a deadline of its own."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Counts and names; never a text of a query or a document."""
    route: str = UNROUTED
    status: int = 0
    texts: Sequence[str] = ()
    """What no log or span may repeat, though a service's or a backend's message does."""
    body_bytes: int = 0
    """Held of its body."""

    def without_texts(self, words: object) -> str:
        """Hide the request's texts in what is logged, as they are and as JSON has them."""
        told = str(words)
        # One that is longer than the words is not among them, and may be a million characters.
        for text in (text for text in self.texts if 0 < len(text) <= len(told)):
            for ascii_only in (False, True):
                told = told.replace(json.dumps(text, ensure_ascii=ascii_only)[1:-1], HIDDEN)
            told = told.replace(text, HIDDEN)
        return told
