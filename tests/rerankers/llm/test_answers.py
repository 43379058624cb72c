"""Answers that order documents, or choose one, however malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieve_rerank.rerankers.llm.answers import Order, read_choice, read_order

NUMBERS = [str(number) for number in range(1, 13)]
LETTERS = list("ABCDEFGHIJ")


def order(answer: str, count: int = 3) -> Order:
    return read_order(answer, NUMBERS[:count])


def test_a_whole_answer_is_read() -> None:
    assert order("[2] > [3] > [1]") == Order([1, 2, 0])
    assert read_order("[C] > [A] > [B]", LETTERS[:3]) == Order([2, 0, 1])


@pytest.mark.parametrize(
    "answer", ["2 > 3 > 1", "2, 3, 1", "[2, 3, 1]", " 2\n3\n1.", "[ 2 ]>[3]>[1]"]
)
def test_other_ways_to_write_a_list_are_understood(answer: str) -> None:
    assert order(answer) == Order([1, 2, 0])


def test_missing_documents_follow_in_their_order() -> None:
    assert order("[3]") == Order([2, 0, 1], missing=2)


def test_a_name_given_twice_counts_once() -> None:
    assert order("[2] > [2] > [1] > [3] > [1]") == Order([1, 0, 2], repeated=2)


def test_eleven_is_not_read_as_one() -> None:
    assert order("[11] > [2] > [1] > [3]") == Order([1, 0, 2], unknown=1)
    assert read_order("[11] > [1]", NUMBERS).positions[:2] == [10, 0]
    assert order("11 2 1 3") == Order([1, 0, 2], unknown=1)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I'm sorry, but I cannot rank these 3 passages.",
        "As of 2021 I have 2 rules, and 1 of them forbids it.",
        "passage3 is best",
    ],
)
def test_a_refusal_leaves_the_incoming_order(answer: str) -> None:
    assert order(answer) == Order([0, 1, 2], missing=3)
    # "I" and "A" are words here, and no names of documents.
    assert read_order(f"{answer} I think A matters.", LETTERS).missing == 10


def test_words_around_an_answer_are_not_read() -> None:
    assert order("Of the 3 passages, 1 is best: [2] > [1] > [3], as of 2024.") == Order([1, 0, 2])


def test_thoughts_before_the_answer_are_not_read() -> None:
    assert order("<think>[3] looks good, [1] too</think>\n[2] > [1] > [3]") == Order([1, 0, 2])
    cut_off = "<think>\nPassage [3] is about cooking. Passage [2] only mentions"
    assert order(cut_off) == Order([0, 1, 2], missing=3)


@given(st.text(alphabet="[]> 0123456789ABCDEFz,\n", max_size=60), st.booleans())
def test_every_document_is_kept_exactly_once(answer: str, letters: bool) -> None:
    names = LETTERS if letters else NUMBERS
    assert sorted(read_order(answer, names).positions) == list(range(len(names)))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Passage B", 1),
        ("passage a.", 0),
        ("Passage A is more relevant to the query", 0),
        ("B", 1),
        (" [B]\n", 1),
        ("<think>Passage A?</think>\n\nPassage B", 1),
        ("<think>Passage A or", None),
        ("Passage A更相关", 0),
        ("答案是Passage B", 1),
        ("Passage Aの方が関連性が高い", 0),
        ("Passage A比 Passage B 更相关", None),
        ("Passage AB", None),
        ("Passage A or Passage B", None),
        ("Passage C", None),
        ("A passage that fits", None),
        ("Neither", None),
        ("", None),
    ],
)
def test_a_choice_is_read_or_it_is_not(answer: str, expected: int | None) -> None:
    assert read_choice(answer, ["Passage A", "Passage B"]) == expected


def test_true_and_false_are_choices_too() -> None:
    assert read_choice("true", ["true", "false"]) == 0
    assert read_choice("False.", ["true", "false"]) == 1
    assert read_choice("untrue", ["true", "false"]) is None


def test_choices_of_a_script_without_spaces_are_read_the_longest_first() -> None:
    assert read_choice("答案是文档B。", ["文档A", "文档B"]) == 1
    assert read_choice("文档A比文档B更相关", ["文档A", "文档B"]) is None
    assert read_choice("不相关", ["相关", "不相关"]) == 1
