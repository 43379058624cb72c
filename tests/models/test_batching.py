from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieve_rerank.models.runtimes.batching import Batching, Tokens, batches, pad

BATCHINGS = st.builds(Batching, st.integers(1, 100), st.integers(0, 40), st.booleans())


@given(st.lists(st.integers(1, 50)), BATCHINGS)
def test_every_sequence_is_in_one_batch_within_the_budget(
    lengths: list[int], batching: Batching
) -> None:
    groups = batches(lengths, batching)

    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or batching.tokens([lengths[i] for i in group]) <= batching.budget


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), BATCHINGS)
def test_no_other_grouping_by_length_takes_less_time(
    lengths: list[int], batching: Batching
) -> None:
    def taken(groups: Iterable[Sequence[int]]) -> int:
        return sum(batching.overhead + batching.tokens(group) for group in groups)

    ordered, inner = sorted(lengths, reverse=True), range(1, len(lengths))
    groupings = [
        [ordered[start:end] for start, end in pairwise([0, *cuts, len(ordered)])]
        for count in range(len(lengths))
        for cuts in combinations(inner, count)
    ]
    best = min(
        taken(groups)
        for groups in groupings
        if all(len(each) == 1 or batching.tokens(each) <= batching.budget for each in groups)
    )
    found = batches(lengths, batching)
    assert taken([lengths[i] for i in group] for group in found) == best


def test_sequences_of_like_length_share_a_batch() -> None:
    lengths = [2, 9, 2, 8]
    assert batches(lengths, Batching(18, 0)) == [[1], [3], [0, 2]]
    assert batches(lengths, Batching(18, 1)) == [[1, 3], [0, 2]], "as filling 8 up costs no more"
    assert batches(lengths, Batching(100, 20)) == [[1, 3, 0, 2]]


def test_without_padding_as_many_share_a_batch_as_there_is_room_for() -> None:
    assert len(batches([2, 9, 2, 8], Batching(21, 1, padded=False))) == 1
    assert len(batches([2, 9, 2, 8], Batching(20, 1, padded=False))) == 2


def test_padding_is_on_the_right_and_not_attended_to() -> None:
    batch = pad([Tokens([5, 6, 7], [0, 0, 1], False, 3), Tokens([8], [0], False, 1)], pad_id=9)

    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.token_type_ids.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert np.array_equal(batch.position_ids, [[0, 1, 2], [0, 1, 2]])
