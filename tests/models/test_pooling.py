from __future__ import annotations

import numpy as np
import pytest

from retrieve_rerank.models.encoders.pooling import pool, unit_rows

STATES = np.array([[1, 0], [3, 4], [2, 8]], dtype=np.float32)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("mean", [2, 4]),
        ("cls", [1, 0]),
        ("lasttoken", [2, 8]),
        ("max", [3, 8]),
        ("mean_sqrt_len_tokens", [6 / 3**0.5, 12 / 3**0.5]),
        ("weightedmean", [(1 + 6 + 6) / 6, (0 + 8 + 24) / 6]),
    ],
)
def test_each_mode_pools_as_it_says(mode: str, expected: list[float]) -> None:
    assert pool(STATES, [mode]) == pytest.approx(expected)


def test_several_modes_are_joined() -> None:
    assert pool(STATES, ["cls", "max"]).tolist() == [1, 0, 3, 8]


def test_rows_get_length_one_and_zeros_stay_zeros() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32))

    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert rows.dtype == np.float32
