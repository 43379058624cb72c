"""The encoder that an index's queries go through: recorded with the index, or named by the user."""

from __future__ import annotations

import threading

from retrieve_rerank.base import Embedder, Vectors
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.encoder_output import query_vector
from retrieve_rerank.errors import ConnectorError, IndexMismatchError


class QueryEncoder:
    """An encoder that is loaded when first needed; safe to share between threads."""

    def __init__(
        self,
        location: str,
        *,
        recorded: EncoderFacts | None = None,
        given: str | Embedder | None = None,
    ) -> None:
        """Raise IndexMismatchError where an encoder given as an object is not the recorded one."""
        self._location = location
        self._recorded = recorded
        self._said = given
        self._given = given if isinstance(given, str) else None
        self._loaded = None if isinstance(given, str) else given
        self._loading = threading.Lock()
        if self._loaded is not None:
            self._check(self._loaded)

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return bool(self._loaded or self._given or self._recorded)

    @property
    def name(self) -> str | None:
        """Its name, None without one."""
        if self._loaded is not None:
            return self._loaded.name
        return self._given or (self._recorded.name if self._recorded else None)

    @property
    def dimension(self) -> int | None:
        """Length of its vectors; None without one, or where it must be loaded to tell."""
        if self._loaded is not None:
            return self._loaded.dimension
        return self._recorded.dimension if self._recorded else None

    def of_index_with(self, recorded: EncoderFacts | None) -> QueryEncoder:
        """Return the encoder of an index that takes the place of this one's; raise as it does.

        It is this one, loaded already perhaps, unless another is recorded there.
        """
        if recorded == self._recorded:
            return self
        return QueryEncoder(self._location, recorded=recorded, given=self._said)

    def load(self) -> Embedder:
        """Return the encoder.

        Raises ConnectorError where there is none, ModelNotFoundError or ModelError where it cannot
        be loaded, and IndexMismatchError where it is not the one that was recorded.
        """
        with self._loading:
            if self._loaded is None:
                # Imported here as OpenVINO takes longer to import than a lexical search takes.
                from retrieve_rerank.models.encoders.embedders import load_embedder

                source = self._given or (self._recorded.source if self._recorded else None)
                if source is None:
                    raise ConnectorError(
                        f"{self._location} has no query encoder; name one with --encoder"
                    )
                loaded = load_embedder(source)
                self._check(loaded)
                self._loaded = loaded
            return self._loaded

    def embed(self, query: str, dimension: int) -> Vectors:
        """Embed a query, (dim,); raise IndexMismatchError unless it fits vectors of `dimension`."""
        encoder = self.load()
        if encoder.dimension != dimension:
            raise IndexMismatchError(
                f"{encoder.name} gives vectors of {encoder.dimension} dimensions; {self._location} "
                f"has {dimension}. Name the encoder that they were made with, with --encoder"
            )
        return query_vector(encoder, query)

    def _check(self, encoder: Embedder) -> None:
        was = self._recorded
        if was and (was.fingerprint, was.dimension) != (encoder.fingerprint, encoder.dimension):
            raise IndexMismatchError(
                f"{self._location} was made with {was.name} ({was.dimension} dimensions, "
                f"fingerprint {was.fingerprint}); got {encoder.name} ({encoder.dimension} "
                f"dimensions, fingerprint {encoder.fingerprint}). Search it with the former, or "
                "make a new one with the latter"
            )
