"""Hidden states of one text's tokens to one vector.

The modes of sentence-transformers' Pooling module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from retrieve_rerank.base import Vectors


def _weighted_mean(states: Vectors) -> Vectors:
    weights = np.arange(1, len(states) + 1, dtype=np.float32)
    mean: Vectors = (weights @ states) / weights.sum()
    return mean


POOLING: Mapping[str, Callable[[Vectors], Vectors]] = {
    "mean": lambda states: states.mean(axis=0),
    "cls": lambda states: states[0],
    "lasttoken": lambda states: states[-1],
    "max": lambda states: states.max(axis=0),
    "mean_sqrt_len_tokens": lambda states: states.sum(axis=0) / np.sqrt(np.float32(len(states))),
    "weightedmean": _weighted_mean,
}
"""Mode -> function of hidden states (tokens, dim), padding cut off."""


def pool(states: Vectors, modes: Sequence[str]) -> Vectors:
    """Pool hidden states (tokens, dim) in each mode and join the results."""
    return np.concatenate([POOLING[mode](states) for mode in modes])


def unit_rows(vectors: Vectors) -> Vectors:
    """Scale each row, or a single vector, to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled
