from __future__ import annotations

import numpy as np
import pytest

from retrieve_rerank.errors import InputError
from retrieve_rerank.models.encoders.token_pooling import pool_tokens


def tokens(n: int, dim: int = 8) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)
    unit: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_neighbours_are_averaged_and_scaled_to_length_1() -> None:
    pooled = pool_tokens(np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32), 2)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(pooled, [[half, half], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("n", "factor", "expected"), [(6, 2, 3), (7, 2, 4), (7, 3, 3), (2, 5, 1)])
def test_a_shorter_run_at_the_end_counts_as_one(n: int, factor: int, expected: int) -> None:
    pooled = pool_tokens(tokens(n), factor)
    assert pooled.shape == (expected, 8)
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_factor_1_keeps_the_tokens(n: int) -> None:
    np.testing.assert_allclose(pool_tokens(tokens(n), 1), tokens(n), rtol=1e-6)


def test_a_text_without_tokens_has_no_pooled_ones() -> None:
    assert pool_tokens(tokens(0), 3).shape == (0, 8)


def test_a_prefix_pools_as_it_does_within_the_whole() -> None:
    np.testing.assert_array_equal(pool_tokens(tokens(9), 3)[:2], pool_tokens(tokens(9)[:6], 3))


def test_the_tokens_stay_as_they_were() -> None:
    given = tokens(5)
    pool_tokens(given, 2)
    np.testing.assert_array_equal(given, tokens(5))


@pytest.mark.parametrize("factor", [0, -1])
def test_a_factor_below_1_is_refused(factor: int) -> None:
    with pytest.raises(InputError, match="factor must be at least 1"):
        pool_tokens(tokens(4), factor)
