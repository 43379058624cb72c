"""Sorting by dear comparisons: right, stable, and with as few as published."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieve_rerank.rerankers.llm.sorting import bubble_top_k, heap_top_k, windows

STRATEGIES = [heap_top_k, bubble_top_k]


class Judge:
    """Chooses by known values, the first of equals, and counts how often it is asked."""

    def __init__(self, values: Sequence[int]) -> None:
        self.values = values
        self.asked: list[tuple[int, ...]] = []
        self.calls = 0

    def __call__(self, groups: Sequence[Sequence[int]]) -> list[int]:
        self.calls += 1
        self.asked += [tuple(items) for items in groups]
        return [max(items, key=lambda item: self.values[item]) for items in groups]


@pytest.mark.parametrize("sort", STRATEGIES)
@given(
    values=st.lists(st.integers(0, 5), max_size=30),
    k=st.integers(1, 35),
    set_size=st.integers(2, 6),
)
def test_the_best_come_first_and_equals_keep_their_order(
    sort: Callable[..., list[int]], values: list[int], k: int, set_size: int
) -> None:
    stable = sorted(range(len(values)), key=lambda item: -values[item])
    judge = Judge(values)
    assert sort(len(values), k, judge, set_size=set_size) == stable[:k]
    for items in judge.asked:
        assert 2 <= len(items) <= set_size
        assert list(items) == sorted(set(items)), "each once, in the incoming order"


@pytest.mark.parametrize("sort", STRATEGIES)
@given(seed=st.randoms(use_true_random=False), k=st.integers(1, 12))
def test_contradicting_answers_lose_no_document(
    sort: Callable[..., list[int]], seed: object, k: int
) -> None:
    choice: Callable[[Sequence[int]], int] = seed.choice  # type: ignore[attr-defined]  # random.Random
    taken = sort(9, k, lambda groups: [choice(items) for items in groups], set_size=3)
    assert len(taken) == len(set(taken)) == min(k, 9)


@pytest.mark.parametrize("sort", STRATEGIES)
def test_one_item_costs_no_comparison(sort: Callable[..., list[int]]) -> None:
    judge = Judge([1])
    assert sort(1, 10, judge, set_size=3) == [0]
    assert sort(0, 10, judge, set_size=3) == []
    assert judge.asked == []


def test_a_heap_stays_within_its_comparisons() -> None:
    values = [(index * 37) % 100 for index in range(100)]
    judge = Judge(values)
    heap_top_k(100, 10, judge, set_size=4)
    building = sum(math.ceil(math.log(100, 3)) for _ in range(33))  # each inner node sinks at most
    assert len(judge.asked) <= building + 9 * math.ceil(math.log(100, 3))
    # Far fewer than whole sorting or all pairs would take.
    assert len(judge.asked) < 100


def test_what_can_be_compared_at_the_same_time_comes_in_one_call() -> None:
    judge = Judge([(index * 37) % 100 for index in range(100)])
    heap_top_k(100, 1, judge, set_size=4)
    # 34 inner nodes, in four levels: 1, 3, 9 and 21, each sinking as deep as the levels below.
    assert len(judge.asked) >= 33
    assert judge.calls <= 1 + 2 + 3 + 4


def test_bubbling_makes_exactly_as_many_comparisons_as_published() -> None:
    judge = Judge(range(50))
    bubble_top_k(50, 10, judge, set_size=2)
    assert len(judge.asked) == sum(50 - 1 - done for done in range(10))


def test_sorting_stops_after_the_top() -> None:
    costs = []
    for k in (1, 5, 20):
        judge = Judge([(index * 7) % 60 for index in range(60)])
        heap_top_k(60, k, judge, set_size=3)
        costs.append(len(judge.asked))
    assert costs[0] < costs[1] < costs[2]


def test_windows_slide_from_the_bottom_to_the_top_as_rankgpts() -> None:
    assert list(windows(100, size=20, step=10)) == [
        (80, 100),
        (70, 90),
        (60, 80),
        (50, 70),
        (40, 60),
        (30, 50),
        (20, 40),
        (10, 30),
        (0, 20),
    ]


def test_the_last_window_starts_at_the_top_whatever_the_count() -> None:
    # RankGPT's own loop ends at (5, 25), and never looks at the first five.
    assert list(windows(25, size=20, step=10)) == [(5, 25), (0, 15)]


def test_a_window_larger_than_the_ranking_is_cut_to_it() -> None:
    assert list(windows(7, size=20, step=10)) == [(0, 7)]
    assert list(windows(20, size=20, step=10)) == [(0, 20)]
    assert list(windows(0, size=20, step=10)) == []


@given(count=st.integers(0, 80), size=st.integers(2, 30), data=st.data())
def test_windows_leave_no_gap(count: int, size: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(1, size))
    found = list(windows(count, size=size, step=step))
    assert {rank for start, end in found for rank in range(start, end)} == set(range(count))
    assert all(0 < end - start <= size for start, end in found)
