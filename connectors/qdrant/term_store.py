"""The part of a connector that a lexical ranking is added by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.lexical_store import LexicalStore, WeighedTerms
from retrieve_rerank.connectors.qdrant.terms import Terms


class QdrantLexicalStore(LexicalStore):
    """Keeps BM25's weights in the collection, or in a companion of the same point ids."""

    _terms: Terms

    def lexical_settings(self) -> Bm25 | None:
        """Tell how the weights that are there were made; None where none were added."""
        return self._terms.settings()

    def create_lexical(self, settings: Bm25, *, companion: bool | None = None) -> None:
        """Make room for weights, in the collection itself or in a companion, `NAME.rr-bm25`.

        None chooses as `create_tensors` does, and the companion where token tensors are in one.
        Raises SchemaError for an index of our own, which has them, and what `create_tensors` does.
        """
        self._terms.create(settings, companion=companion)

    def lexical_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with weights."""
        return self._terms.hashes(ids)

    def write_lexical(self, terms: Sequence[WeighedTerms]) -> None:
        """Store weights, leaving out documents that are gone; raise PartialWriteError."""
        self._terms.write(terms)

    def lexical_ids(self) -> Iterator[str]:
        """Iterate over the ids that have weights; in a companion, deleted documents' too."""
        return self._terms.ids()

    def delete_lexical(self, ids: Sequence[str]) -> None:
        """Delete the weights of these documents."""
        self._terms.delete(ids)

    def drop_lexical(self) -> None:
        """Delete all weights, the room made for them and their record; the documents stay."""
        self._terms.drop()
