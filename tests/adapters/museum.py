"""What the tests of adapters search, and rerankers that fail or take their time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from retrieve_rerank import Document, Retriever, Scorer
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.testing import OverlapScorer

DOCUMENTS = [
    Document("hours", "The museum is closed on Mondays.", {"title": "Hours", "year": 2019}),
    Document("price", "Tickets to the museum cost nine euros.", {"title": "Prices", "year": 2021}),
    Document("tram", "The tram stops in front of the museum.", {"lines": ["4", "11"]}),
    Document("café", "The café on the roof serves lunch.", {"title": "Café", "year": 2024}),
]
QUERY = "when is the museum closed"


class Broken(Scorer):
    """Fails with a message of its own."""

    name = "broken"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        raise RuntimeError("the model is gone")


class Slow(OverlapScorer):
    """Takes longer than any test lets it."""

    name = "slow"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        time.sleep(2)
        return super().score(query, texts)


class Personal(OverlapScorer):
    """Reads who asks as a part of the query."""

    name = "personal"

    def for_user(self, query: str, user: str) -> str:
        return f"{query} {user}"


def museum(*stages: Scorer) -> Retriever:
    """Search the museum's documents in memory."""
    return Retriever(MemoryConnector(DOCUMENTS), *(stages or (OverlapScorer(),)))
