"""The similarities that an exact search computes here, where the backend does not."""

from __future__ import annotations

import numpy as np

from retrieve_rerank.base import Vectors


def similarities(queries: Vectors, rows: Vectors, similarity: str) -> Vectors:
    """Compare queries, (m, dim), with rows, (n, dim), higher is better; (m, n).

    `similarity` is a `VectorField`'s: the cosine, minus the distance (l2, l1), else the product.
    """
    if similarity in ("l2", "l1"):
        order = 2 if similarity == "l2" else 1
        return -np.stack([np.linalg.norm(rows - query, ord=order, axis=1) for query in queries])
    if similarity == "cosine":  # of which backends keep rows of length 1, but not all of them
        queries, rows = _unit(queries), _unit(rows)
    products: Vectors = queries @ rows.T
    return products


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = rows / np.maximum(lengths, np.float32(1e-12))
    return unit
