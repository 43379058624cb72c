"""The encoders of an index: those given, or those recorded, loaded when first needed."""

from __future__ import annotations

import threading
from pathlib import Path

from retrieve_rerank.base import Encoder
from retrieve_rerank.connectors.embedded.manifest import Manifest
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.two_encoders import TwoEncoders
from retrieve_rerank.errors import IndexMismatchError


class IndexEncoder:
    """The encoder that an index was made with, and the one that makes its token tensors.

    These are one mostly. Safe to share between threads.
    """

    def __init__(self, folder: Path, manifest: Manifest, given: Encoder | None = None) -> None:
        """Raise IndexMismatchError when the given encoder, or one of two, is not a recorded one."""
        self._folder = folder
        self._manifest = manifest
        self._own: Encoder | None = None
        self._tokens: Encoder | None = None
        self._loading = threading.Lock()
        both = (given.vectors, given.tokens) if isinstance(given, TwoEncoders) else (given,)
        tokens = manifest.token_encoder
        for each in both:
            if each is not None and tokens is not None and each.fingerprint == tokens.fingerprint:
                self._tokens = each
            elif each is not None:
                self._check(each)
                self._own = each

    @property
    def dimension(self) -> int:
        """Length of a text's vector; 0 for an index without vectors."""
        return self._manifest.encoder.dimension if self._manifest.encoder else 0

    @property
    def token_dimension(self) -> int:
        """Length of a token's vector; 0 for an index without vectors."""
        made_with = self._manifest.token_encoder or self._manifest.encoder
        return made_with.dimension if made_with else 0

    def get(self) -> Encoder | None:
        """Return what encodes for both stages, None for an index without vectors.

        Raises ModelNotFoundError or ModelError when a recorded one cannot be loaded, and
        IndexMismatchError when what is found under its name is another.
        """
        tokens = self.of_tokens()
        if tokens is None or not self._manifest.vectors_apart:
            return tokens
        with self._loading:
            return TwoEncoders(self._load_own(), tokens)

    def of_tokens(self) -> Encoder | None:
        """Return what makes the tokens, whose vectors may be others; as `get` does."""
        with self._loading:
            if self._manifest.encoder is None:
                return None
            recorded = self._manifest.token_encoder
            return self._load_own() if recorded is None else self._load_tokens(recorded)

    def _load_own(self) -> Encoder:
        if self._own is None:
            assert self._manifest.encoder is not None  # who calls has looked
            encoder = _load(self._manifest.encoder)
            self._check(encoder)
            self._own = encoder
        return self._own

    def _load_tokens(self, recorded: EncoderFacts) -> Encoder:
        if self._tokens is None:
            encoder = _load(recorded)
            if encoder.fingerprint != recorded.fingerprint:
                raise IndexMismatchError(
                    f"the token tensors of the index at {self._folder} were made with "
                    f"{recorded.name} (fingerprint {recorded.fingerprint}); what is found under"
                    f" that name has fingerprint {encoder.fingerprint}. Make them anew: rr "
                    "tensors refresh"
                )
            self._tokens = encoder
        return self._tokens

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


def _load(recorded: EncoderFacts) -> Encoder:
    # Imported here as OpenVINO takes longer to import than a lexical search takes.
    from retrieve_rerank.models.loading import load_encoder

    return load_encoder(recorded.source)


def _described(facts: EncoderFacts) -> str:
    return f"{facts.name} ({facts.dimension} dimensions, fingerprint {facts.fingerprint})"
