from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from retrieve_rerank.base import TensorDtype, Vectors
from retrieve_rerank.connectors.tensors import content_hash, pack, score, unpack
from retrieve_rerank.errors import IndexCorruptError
from retrieve_rerank.models.encoders.pooling import unit_rows

DTYPES: tuple[TensorDtype, ...] = get_args(TensorDtype)
TOLERANCES: dict[TensorDtype, float] = {"float32": 1e-6, "float16": 5e-4, "int8": 5e-3}


def rows(*values: tuple[float, float]) -> Vectors:
    return np.array(values, dtype=np.float32)


def random_tokens(seed: int, count: int, dimension: int = 96) -> Vectors:
    rng = np.random.default_rng(seed)
    return unit_rows(rng.standard_normal((count, dimension)).astype(np.float32))


def test_a_hash_is_128_bits_of_blake2b() -> None:  # printf "shock waves" | b2sum -l 128
    assert content_hash("shock waves") == "54d7eea79c98d81c992387213d1a060e"
    assert content_hash("shock waves ") != content_hash("shock waves")


def test_a_text_with_half_a_surrogate_pair_has_a_hash() -> None:
    assert len(content_hash("broken \ud83d off")) == 32


def test_numbers_are_written_row_after_row_in_little_endian() -> None:
    tokens = rows((1, 0), (-0.5, 0.25))
    assert pack(tokens, "float32").hex() == "0000803f00000000000000bf0000803e"
    assert pack(tokens, "float16").hex() == "003c000000b80034"


def test_int8_is_scaled_by_each_tokens_largest_number() -> None:
    # -0.8 is the largest of the second token: -127; 0.6 becomes 95.25, rounded to 95
    assert pack(rows((1, 0), (0.6, -0.8)), "int8") == bytes([127, 0, 95, 256 - 127])


def test_tokens_read_back_have_length_1() -> None:
    tokens = unpack(pack(rows((1, 0), (0.6, -0.8)), "int8"), 2, "int8")
    length = float(np.hypot(95, 127))
    assert tokens.dtype == np.float32
    assert tokens == pytest.approx(rows((1, 0), (95 / length, -127 / length)))


def test_a_token_of_zeros_stays_one() -> None:
    assert unpack(pack(rows((0, 0), (1, 0)), "int8"), 2, "int8").tolist() == [[0, 0], [1, 0]]


def test_float32_is_exact() -> None:
    tokens = random_tokens(1, 20)
    assert np.array_equal(unpack(pack(tokens, "float32"), 96, "float32"), tokens)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_agree_with_float64_to_the_precision_of_the_stored_type(dtype: TensorDtype) -> None:
    query = random_tokens(2, 9)
    documents = [random_tokens(seed, count) for seed, count in ((3, 1), (4, 40), (5, 2), (6, 300))]
    exact = [
        (query.astype(np.float64) @ document.astype(np.float64).T).max(axis=1).mean()
        for document in documents
    ]
    scores = score(query, [pack(each, dtype) for each in documents], dimension=96, dtype=dtype)
    assert scores == pytest.approx(exact, abs=TOLERANCES[dtype])


def test_no_tensors_have_no_scores() -> None:
    assert score(random_tokens(1, 3), [], dimension=96, dtype="int8") == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("damage", [b"", b"\x00"])
def test_a_stray_length_is_an_error(dtype: TensorDtype, damage: bytes) -> None:
    whole = pack(random_tokens(1, 2), dtype)
    damaged = whole + damage if damage else b""
    with pytest.raises(IndexCorruptError, match=f"{len(damaged)} bytes"):
        unpack(damaged, 96, dtype)
    with pytest.raises(IndexCorruptError, match=f"{len(damaged)} bytes"):
        score(random_tokens(2, 2), [whole, damaged], dimension=96, dtype=dtype)
