from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieve_rerank.models.runtimes.batching import Tokens, batches, pad


@given(st.lists(st.integers(1, 50)), st.integers(1, 100))
def test_every_sequence_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(batches(lengths, budget=budget))

    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget


def test_sequences_of_like_length_share_a_batch() -> None:
    assert list(batches([2, 9, 2, 8], budget=18)) == [[1, 3], [0, 2]]


def test_padding_is_on_the_right_and_not_attended_to() -> None:
    batch = pad([Tokens([5, 6, 7], [0, 0, 1], False, 3), Tokens([8], [0], False, 1)], pad_id=9)

    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.token_type_ids.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert np.array_equal(batch.position_ids, [[0, 1, 2], [0, 1, 2]])
