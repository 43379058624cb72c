from __future__ import annotations

import numpy as np
import pytest

from retrieve_rerank.models.encoders.max_sim import max_sim


def rows(*values: tuple[float, float]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


def test_max_sim_is_the_mean_of_each_query_tokens_best_match() -> None:
    query = rows((1, 0), (0, 1))
    documents = [rows((1, 0), (0.6, 0.8)), rows((0, -1)), rows((0, 1), (1, 0), (-1, 0))]
    # first: 1 and .8; second: 0 and -1; third: 1 and 1
    assert max_sim(query, documents).tolist() == pytest.approx([0.9, -0.5, 1.0])


def test_max_sim_agrees_with_float64() -> None:
    rng = np.random.default_rng(7)
    query = rng.standard_normal((9, 64)).astype(np.float32)
    documents = [rng.standard_normal((n, 64)).astype(np.float32) for n in (1, 30, 2, 257)]
    expected = [
        np.max(query.astype(np.float64) @ document.astype(np.float64).T, axis=1).mean()
        for document in documents
    ]
    assert max_sim(query, documents).tolist() == pytest.approx(expected, rel=1e-5)
