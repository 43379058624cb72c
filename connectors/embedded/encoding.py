"""The encoder of an index: the one given, or the one recorded, loaded when first needed."""

from __future__ import annotations

import threading
from pathlib import Path

from retrieve_rerank.base import Encoder
from retrieve_rerank.connectors.embedded.manifest import Manifest
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.errors import IndexMismatchError


class IndexEncoder:
    """The encoder that an index was made with; safe to share between threads.

    Where another makes the token tensors, it is that one, which gives the same vectors.
    """

    def __init__(self, folder: Path, manifest: Manifest, given: Encoder | None = None) -> None:
        """Raise IndexMismatchError when the given encoder is not a recorded one."""
        self._folder = folder
        self._manifest = manifest
        self._loaded = given
        self._loading = threading.Lock()
        tokens = manifest.token_encoder
        if given is not None and (tokens is None or given.fingerprint != tokens.fingerprint):
            self._check(given)
            self._loaded = None if tokens else given

    @property
    def token_dimension(self) -> int:
        """Length of a token's vector; 0 for an index without vectors."""
        made_with = self._manifest.token_encoder or self._manifest.encoder
        return made_with.dimension if made_with else 0

    def get(self) -> Encoder | None:
        """Return the encoder, None for an index without vectors.

        Raises ModelNotFoundError or ModelError when the recorded one cannot be loaded, and
        IndexMismatchError when what is found under its name is another.
        """
        recorded = self._manifest.token_encoder or self._manifest.encoder
        if recorded is None:
            return None
        with self._loading:
            if self._loaded is None:
                # Imported here as OpenVINO takes longer to import than a lexical search takes.
                from retrieve_rerank.models.loading import load_encoder

                encoder = load_encoder(recorded.source)
                if recorded is self._manifest.encoder:
                    self._check(encoder)
                elif encoder.fingerprint != recorded.fingerprint:
                    raise IndexMismatchError(
                        f"the token tensors of the index at {self._folder} were made with "
                        f"{recorded.name} (fingerprint {recorded.fingerprint}); what is found under"
                        f" that name has fingerprint {encoder.fingerprint}. Make them anew: rr "
                        "tensors refresh"
                    )
                self._loaded = encoder
            return self._loaded

    def _check(self, encoder: Encoder) -> None:
        was, now = self._manifest.encoder, EncoderFacts.of(encoder)
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
