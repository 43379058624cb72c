"""The encoder of an index: the one given, or the one recorded, loaded when first needed."""

from __future__ import annotations

import threading
from pathlib import Path

from retrieve_rerank.base import Encoder
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.errors import IndexMismatchError


class IndexEncoder:
    """The encoder that an index was made with; safe to share between threads."""

    def __init__(
        self, folder: Path, recorded: EncoderFacts | None, given: Encoder | None = None
    ) -> None:
        """Raise IndexMismatchError when the given encoder is not the recorded one."""
        self._folder = folder
        self._recorded = recorded
        self._loaded = given
        self._loading = threading.Lock()
        if given is not None:
            self._check(given)

    def get(self) -> Encoder | None:
        """Return the encoder, None for an index without vectors.

        Raises ModelNotFoundError or ModelError when the recorded one cannot be loaded, and
        IndexMismatchError when what is found under its name is another.
        """
        if self._recorded is None:
            return None
        with self._loading:
            if self._loaded is None:
                # Imported here as OpenVINO takes longer to import than a lexical search takes.
                from retrieve_rerank.models.loading import load_encoder

                encoder = load_encoder(self._recorded.source)
                self._check(encoder)
                self._loaded = encoder
            return self._loaded

    def _check(self, encoder: Encoder) -> None:
        was, now = self._recorded, EncoderFacts.of(encoder)
        if was is None:
            raise IndexMismatchError(
                f"the index at {self._folder} was made without an encoder, for BM25 alone; "
                f"open it without {now.name}, or make a new one with it"
            )
        if (was.fingerprint, was.dimension) != (now.fingerprint, now.dimension):
            raise IndexMismatchError(
                f"the index at {self._folder} was made with {_described(was)}; got "
                f"{_described(now)}. Open it with the former, or make a new one with the latter"
            )


def _described(facts: EncoderFacts) -> str:
    return f"{facts.name} ({facts.dimension} dimensions, fingerprint {facts.fingerprint})"
