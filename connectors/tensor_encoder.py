"""The model that an index's token tensors were made with."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, cast

from retrieve_rerank.base import Embedder, Encoder, Encoding, TensorSettings
from retrieve_rerank.connectors.encoder_output import query_encoding
from retrieve_rerank.connectors.two_encoders import TwoEncoders
from retrieve_rerank.errors import IndexMismatchError, ModelError

if TYPE_CHECKING:  # it brings the runtimes
    from retrieve_rerank.models.encoders.encoder import TextEncoder

logger = logging.getLogger(__name__)


class TensorEncoder:
    """Loads it when first needed; safe to share between threads."""

    def __init__(self) -> None:
        self._loaded: TextEncoder | None = None
        self._loading = threading.Lock()

    def encode(
        self, query: str, settings: TensorSettings, *, embedder: Embedder | None = None
    ) -> Encoding:
        """Encode a query with the model that `settings` record, loaded when first needed.

        `embedder` is what the first stage encodes queries with; where it is the same model, it
        is used. Raises ModelNotFoundError or ModelError when the recorded model cannot be loaded,
        and IndexMismatchError when what is found under its name is another.
        """
        if embedder is not None and embedder.fingerprint == settings.fingerprint:
            encoder = cast(Encoder, embedder)  # the fingerprint is that of one with tokens
        else:
            encoder = self._load(settings)
        return query_encoding(encoder, query, dimension=settings.dimension)

    def gives_vectors_of(self, embedder: Embedder | None, settings: TensorSettings) -> bool:
        """Tell whether an encoding's vector is what `embedder` gives; raise as `encode` does.

        So it is where that is the same model, or the one whose tokens this one projects.
        """
        if embedder is None:
            return False
        same = embedder.fingerprint == settings.fingerprint
        return same or embedder.fingerprint == self._load(settings).vectors_of

    def of_documents(self, embedder: Encoder, settings: TensorSettings | None) -> Encoder:
        """Return what encodes documents for both stages.

        It is `embedder` where the tensors are its own, what projects its tokens, or both models
        where the other gives other vectors. Where that cannot be loaded here, which is logged, it
        is `embedder` too: then documents go without tensors.
        """
        if settings is None or embedder.fingerprint == settings.fingerprint:
            return embedder
        try:
            encoder = self._load(settings)
        except (ModelError, IndexMismatchError) as exc:
            logger.warning("documents are written without token tensors: %s", exc)
            return embedder
        if encoder.vectors_of == embedder.fingerprint:
            return encoder
        return TwoEncoders(embedder, encoder)

    def _load(self, settings: TensorSettings) -> TextEncoder:
        with self._loading:
            if self._loaded is None or self._loaded.fingerprint != settings.fingerprint:
                # Imported here as OpenVINO takes longer to import than a lexical search takes.
                from retrieve_rerank.models.loading import load_encoder

                encoder = load_encoder(settings.encoder)
                if encoder.fingerprint != settings.fingerprint:
                    raise IndexMismatchError(
                        f"the token tensors were made with {settings.encoder} (fingerprint "
                        f"{settings.fingerprint}); what is found under that name now has "
                        f"fingerprint {encoder.fingerprint}. Make them anew: rr tensors drop, "
                        "then rr tensors add"
                    )
                self._loaded = encoder
            return self._loaded
