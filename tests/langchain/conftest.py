"""An index that all tests search, and what notes the events of a chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.database import DatabaseMaxSim

PASSAGES = [
    Document("mondays", "The museum is closed on Mondays.", {"title": "Hours", "year": 2019}),
    Document("price", "Tickets to the museum cost nine euros.", {"title": "Prices", "year": 2021}),
    Document("tram", "The tram stops in front of the museum.", {"title": "Getting there"}),
    Document("café", "The café on the roof serves lunch.", {"title": "Café"}),
]


@pytest.fixture(scope="session")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    folder = tmp_path_factory.mktemp("indexes") / "museum"
    with EmbeddedConnector.create(folder, encoder=load_encoder()) as connector:
        connector.index(PASSAGES)
        yield Retriever(connector, DatabaseMaxSim(connector))


class Seen(BaseCallbackHandler):
    """Notes the runs that begin, and the custom events."""

    def __init__(self) -> None:
        self.tags: dict[UUID, list[str]] = {}
        self.events: list[tuple[UUID, str, Any]] = []

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, tags: Any = None, **_: Any
    ) -> None:
        self.tags[run_id] = tags or []

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        self.events.append((run_id, name, data))


@pytest.fixture
def seen() -> Seen:
    return Seen()
