"""MaxSim of token vectors, in numpy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from retrieve_rerank.base import Vectors


def max_sim(query: Vectors, documents: Iterable[Vectors]) -> Vectors:
    """Compute MaxSim of one query, (m, dim), with each document, (n_i, dim); rows of length 1.

    The mean over query tokens of the largest inner product with any token of the document: the
    sum of Khattab and Zaharia (SIGIR 2020, https://arxiv.org/abs/2004.12832) divided by the
    number of query tokens, which leaves the order and makes queries comparable.
    """
    # One after another: their numbers then stay in the processor's cache, which is several times
    # as fast as one product over all of them.
    scores = [(query @ tokens.T).max(axis=1).mean() for tokens in documents]
    return np.array(scores, dtype=np.float32)
