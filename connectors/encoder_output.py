"""The check of what an encoder gives, before an index is given it."""

from __future__ import annotations

import numpy as np

from retrieve_rerank.base import Embedder, Encoder, Encoding, Vectors
from retrieve_rerank.errors import IndexMismatchError, ModelError

_QUERY = "the query"


def check_vectors(vectors: Vectors, *, of: str, encoder: str, dimension: int) -> None:
    """Check the vector of a text, (dim,), or those of its tokens, (tokens, dim).

    `of` says in messages whose they are, `encoder` what made them. Raises IndexMismatchError for
    another length than the index has, and ModelError for such as hold no finite numbers: backends
    refuse a whole batch for one, or store it and never find it.
    """
    if vectors.shape[-1:] != (dimension,):
        raise IndexMismatchError(
            f"{encoder} gave vectors of {vectors.shape[-1] if vectors.ndim else 0} numbers for "
            f"{of}; the index was made for {dimension}"
        )
    if not np.isfinite(vectors).all():
        raise ModelError(f"{encoder} gave numbers that are infinite or none for {of}")


def query_vector(encoder: Embedder, query: str) -> Vectors:
    """Embed a query, (dim,), and check it as `check_vectors` does."""
    vector: Vectors = encoder.embed_queries([query])[0]
    check_vectors(vector, of=_QUERY, encoder=encoder.name, dimension=encoder.dimension)
    return vector


def query_encoding(encoder: Encoder, query: str, *, dimension: int) -> Encoding:
    """Encode a query, and check its tokens' vectors, (tokens, dim), as `check_vectors` does."""
    [encoding] = encoder.encode_queries([query])
    check_vectors(encoding.tokens, of=_QUERY, encoder=encoder.name, dimension=dimension)
    return encoding
