"""The connector that is tested, and what all tests of it use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrieve_rerank.base import Connector
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.testing.closeness import close
from retrieve_rerank.testing.hashing import HashingEncoder
from retrieve_rerank.types import Document, Hit

WINGS = (
    Document("lift", "the lift of a thin wing", {"year": 1950, "author": {"name": "Ada"}}),
    Document("drag", "drag polar of a slender body", {"year": 1960, "author": {"name": "Bob"}}),
    Document("both", "lift and drag of a wing in a slipstream", {"year": 1970, "tags": ["a", "b"]}),
    Document("heat", "heat transfer in a pipe", {"year": 1980, "tags": ["b"], "open": True}),
)


class Subject:
    """What each test opens anew."""

    def connector(self, encoder: HashingEncoder | None) -> Connector:
        """Open an empty index that holds no document of an earlier test; the test closes it."""
        raise NotImplementedError(f"{type(self).__name__}.connector must return what to test")

    def encoder(self) -> HashingEncoder | None:
        """Make the encoder of a new index, None where it is searched by words alone."""
        return HashingEncoder()

    def opened(self, documents: Sequence[Document] = ()) -> Connector:
        """Open an index of these documents."""
        connector = self.connector(self.encoder())
        if documents:
            connector.index(documents)
        return connector


def ids(hits: Sequence[Hit]) -> list[str]:
    """Return the documents' ids, best first."""
    return [hit.document.id for hit in hits]


def contents(connector: Connector) -> dict[str, Document]:
    """Return all documents by id; each must be scanned once and counted."""
    found = list(connector.scan())
    assert len(found) == connector.count() == len({document.id for document in found})
    return {document.id: document for document in found}


def assert_alike(hits: Sequence[Hit], expected: Sequence[Hit]) -> None:
    """Same documents in the same order; the same scores, up to the last digits of float32."""
    assert [(hit.rank, hit.document) for hit in hits] == [
        (hit.rank, hit.document) for hit in expected
    ]
    assert close([hit.score for hit in hits], [hit.score for hit in expected])


def assert_raises(kind: type[RetrieveRerankError], call: Callable[[], object], *words: str) -> None:
    """The call must raise this kind of error, with all of the words in its message."""
    try:
        call()
    except kind as exc:
        missing = [word for word in words if word not in str(exc)]
        assert not missing, f"{exc} does not say {missing}"
        return
    raise AssertionError(f"no {kind.__name__} was raised")
