"""The learned sparse encoder that queries go through: named by the user, or given."""

from __future__ import annotations

import threading

from retrieve_rerank.base import SparseEncoder


class SparseQueryEncoder:
    """An encoder that is loaded when first needed; safe to share between threads."""

    def __init__(self, given: str | SparseEncoder | None) -> None:
        self._given = given
        self._loading = threading.Lock()

    def load(self) -> SparseEncoder | None:
        """Return the encoder, None without one; raise ModelNotFoundError or ModelError."""
        with self._loading:
            if isinstance(self._given, str):
                # Imported here as it takes longer than a search without it.
                from retrieve_rerank.models.encoders.sparse import load_sparse_encoder

                self._given = load_sparse_encoder(self._given)
            return self._given
