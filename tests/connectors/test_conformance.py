"""What holds of every connector, on all that are registered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from retrieve_rerank import Candidates, Connector, Document, Encoder, Filter, Hit
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ModelError
from retrieve_rerank.registry import CONNECTORS
from retrieve_rerank.testing import ConnectorConformance, HashingEncoder
from retrieve_rerank.testing.connectors.subject import ids
from tests.connectors.conftest import MAKERS
from tests.connectors.spoilt_encoder import SpoiltEncoder
from tests.connectors.word_conformance import WordConformance
from tests.servers import delete_indexes


class TestRegistered(ConnectorConformance, WordConformance):
    @pytest.fixture(autouse=True, params=["lexical", "hybrid"])
    def _rankings(self, request: pytest.FixtureRequest) -> None:
        self._hybrid = request.param == "hybrid"

    @pytest.fixture(autouse=True, params=MAKERS)
    def _maker(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
        self._make = MAKERS[request.param]
        self._folders = (tmp_path / str(n) for n in count())
        yield
        delete_indexes()

    def encoder(self) -> HashingEncoder | None:
        return HashingEncoder() if self._hybrid else None

    def connector(self, encoder: Encoder | None) -> Connector:
        return self._make(next(self._folders), encoder)


def test_every_registered_connector_is_exercised() -> None:
    made = {CONNECTORS[scheme].target for scheme in MAKERS}
    assert made == {entry.target for entry in CONNECTORS.values()}, "add a maker for each"


@pytest.mark.parametrize("name", MAKERS)
def test_vectors_without_finite_numbers_are_refused(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path / "index", SpoiltEncoder()) as connector:
        connector.index([Document("sound", "a wing")])
        for word in ("spoilt", "endless"):
            said = f"hashing gave numbers that are infinite or none for document '{word}'"
            with pytest.raises(ModelError, match=said):
                connector.index([Document("other", "a pipe"), Document(word, f"a wing {word}")])
            assert ids(connector.search("wing pipe", top_k=9)) == ["sound"]
            with pytest.raises(ModelError, match="infinite or none for the query"):
                connector.search(f"wing {word}", top_k=9)
    delete_indexes()


class Sloppy(MemoryConnector):
    """Breaks what it is told to."""

    flaw = ""

    def search(
        self,
        query: str,
        *,
        top_k: int,
        filter: Filter | None = None,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        if self.flaw == "the filter after the cut" and filter:
            hits = super().search(query, top_k=top_k, timeout_s=timeout_s)
            odd = [hit for hit in hits if hit.document.metadata.get("odd")]
            return Candidates(odd) if odd else super().search(query, top_k=top_k, filter=filter)
        hits = super().search(query, top_k=top_k, filter=filter, timeout_s=timeout_s)
        return Candidates(reversed(hits)) if self.flaw == "rising scores" else hits

    def get(self, ids: Sequence[str]) -> list[Document]:
        found = super().get(ids)
        return sorted(found, key=lambda each: each.id) if self.flaw == "the order" else found

    def delete(self, ids: Sequence[str]) -> int:
        super().delete(ids)
        return len(ids) if self.flaw == "the count" else 0


@pytest.mark.parametrize(
    ("flaw", "test"),
    [
        ("rising scores", "test_ranks_run_from_one_and_scores_never_rise"),
        ("the order", "test_get_keeps_the_order_asked_for_and_leaves_unknown_ids_out"),
        ("the count", "test_delete_counts_what_was_there"),
        ("the filter after the cut", "test_filters_do_not_shorten_the_list"),
    ],
)
def test_a_flaw_is_found(flaw: str, test: str) -> None:
    class Suite(ConnectorConformance):
        def connector(self, encoder: Encoder | None) -> Connector:
            made = Sloppy(encoder=encoder)
            made.flaw = flaw
            return made

    with pytest.raises((AssertionError, ValueError)):
        getattr(Suite(), test)()
