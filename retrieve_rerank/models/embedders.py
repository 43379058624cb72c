"""Names to models that embed queries, wherever the model runs.

Knows nothing of how a model is run.
"""

from __future__ import annotations

from retrieve_rerank.base import Embedder
from retrieve_rerank.models.loading import load_encoder


def load_embedder(name: str) -> Embedder:
    """Load what embeds under a name: an alias, a folder or a hub id.

    Raises ModelNotFoundError or ModelError.
    """
    return load_encoder(name)
