"""MaxSim of token vectors, in numpy.

Knows nothing of models or storage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieve_rerank.base import Vectors


def max_sim(query: Vectors, documents: Sequence[Vectors]) -> Vectors:
    """Compute MaxSim of one query, (m, dim), with each document, (n_i, dim); rows of length 1.

    The mean over query tokens of the largest inner product with any token of the document: the
    sum of Khattab and Zaharia (SIGIR 2020, https://arxiv.org/abs/2004.12832) divided by the
    number of query tokens, which leaves the order and makes queries comparable.
    """
    return max_sim_joined(query, np.concatenate(documents), [len(each) for each in documents])


def max_sim_joined(query: Vectors, tokens: Vectors, lengths: Sequence[int]) -> Vectors:
    """Compute MaxSim with documents whose tokens, (n_1 + n_2 + …, dim), follow one another.

    `lengths` are the documents' numbers of tokens, none of them 0.
    """
    starts = np.cumsum([0, *lengths[:-1]])
    similarities = tokens @ query.T  # (n_1 + n_2 + …, m)
    best = np.maximum.reduceat(similarities, starts, axis=0)  # (documents, m)
    scores: Vectors = best.mean(axis=1)
    return scores
