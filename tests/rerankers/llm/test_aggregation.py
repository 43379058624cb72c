"""Aggregations of all pairs, against the formulas computed by hand."""

from __future__ import annotations

import pytest

from retrieve_rerank.rerankers.llm.aggregation import AGGREGATIONS, prefers

# Rows prefer columns; the diagonal is never read.
PREFERENCES = [
    [9.0, 0.9, 0.6],
    [0.2, 9.0, 0.7],
    [0.8, 0.4, 9.0],
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sum", [0.9 + 0.6, 0.2 + 0.7, 0.8 + 0.4]),
        ("binary", [2.0, 1.0, 1.0]),
        (
            "sym-sum",
            [
                (0.9 + (1 - 0.2)) + (0.6 + (1 - 0.8)),
                (0.2 + (1 - 0.9)) + (0.7 + (1 - 0.4)),
                (0.8 + (1 - 0.6)) + (0.4 + (1 - 0.7)),
            ],
        ),
        # 0 beats 1 in both orders; 0 and 2 contradict each other; 1 beats 2 in both orders.
        ("wins", [1.5, 1.0, 0.5]),
    ],
)
def test_each_aggregation_follows_its_formula(name: str, expected: list[float]) -> None:
    assert AGGREGATIONS[name](PREFERENCES) == pytest.approx(expected)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_equal_documents_get_exactly_equal_scores(name: str) -> None:
    # Documents 0 and 3 have the same text: the same prompts, so the same preferences.
    kinds = ["a", "b", "c", "a"]
    table = {("a", "a"): 0.3, ("a", "b"): 0.1, ("a", "c"): 0.7, ("b", "a"): 0.2}
    table |= {("b", "c"): 0.6, ("c", "a"): 0.55, ("c", "b"): 0.9}
    preferences = [[table.get((x, y), 0.0) for y in kinds] for x in kinds]
    scores = AGGREGATIONS[name](preferences)
    assert scores[0] == scores[3]


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_one_document_has_nothing_to_be_compared_with(name: str) -> None:
    assert AGGREGATIONS[name]([[0.0]]) == [0.0]


def test_answers_that_contradict_each_other_make_a_tie() -> None:
    assert prefers(0.9, 0.1)
    assert not prefers(0.9, 0.8), "whichever stands first is preferred"
    assert not prefers(0.2, 0.3), "whichever stands second is preferred"
    assert not prefers(0.5, 0.1), "undecided in one order"
