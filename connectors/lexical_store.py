"""What a backend offers that keeps BM25's weights for documents that others put into it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from retrieve_rerank.base import Connector
from retrieve_rerank.connectors.lexical import Bm25


class WeighedTerms(NamedTuple):
    """One document's terms, on their way into an index."""

    id: str
    content_hash: str
    """Of the text that they are of: tells later whether it has changed."""
    terms: Mapping[int, float]
    """Term id -> weight."""


class LexicalStore(Connector):
    """A backend that can be given a lexical ranking for documents that are in the index already."""

    @abstractmethod
    def lexical_settings(self) -> Bm25 | None:
        """Tell how the weights that are there were made; None where there are none."""

    @abstractmethod
    def create_lexical(self, settings: Bm25, *, companion: bool | None = None) -> None:
        """Make room for weights; harmless where there is the same room already.

        `companion` asks for an index beside that of the documents, or for the latter; None leaves
        it to the backend. Raises IndexMismatchError where weights of other settings are, and
        SchemaError where the index has a ranking of this kind of its own.
        """

    @abstractmethod
    def lexical_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with weights."""

    @abstractmethod
    def write_lexical(self, terms: Sequence[WeighedTerms]) -> None:
        """Store weights, replacing those of the same documents; raise PartialWriteError."""

    @abstractmethod
    def lexical_ids(self) -> Iterator[str]:
        """Iterate over the ids that have weights, those of deleted documents among them."""

    @abstractmethod
    def delete_lexical(self, ids: Sequence[str]) -> None:
        """Delete the weights of these documents."""

    @abstractmethod
    def drop_lexical(self) -> None:
        """Delete all weights and the room made for them; the documents stay as they are."""
