"""Training positives that two models take for negatives: one is swapped, and found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieve_rerank import Scorer
from retrieve_rerank.errors import ScoreError
from retrieve_rerank.testing import OverlapScorer
from retrieve_rerank.training.doubtful import Doubtful, find_doubtful
from retrieve_rerank.training.groups import Group, GroupText

SUBJECTS = ("wing flutter", "boundary layers", "heat transfer", "shock waves")


class Letters(Scorer):
    """Counts the query's letters in a text: another opinion, and a weaker one."""

    name = "letters"

    def __init__(self) -> None:
        self.asked = 0

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked += 1
        return [len(set(query) & set(text)) / len(set(query)) for text in texts]


def group(subject: str, positive: str) -> Group:
    """A query with its positive, and texts that have one word of it."""
    first, second = subject.split()
    negatives = (f"{first} of birds", f"{second} of today", f"{first} and more", f"no {second}")
    return Group(
        subject,
        (
            GroupText(positive, 2.0, "right"),
            *(GroupText(text, 0.0, str(number)) for number, text in enumerate(negatives)),
        ),
        f"about {subject}",
    )


def test_a_positive_that_was_swapped_is_found() -> None:
    groups = [group(each, f"{each} was measured") for each in SUBJECTS]
    other = Letters()
    assert find_doubtful(groups, OverlapScorer(), other).count == 0
    assert other.asked == 0  # nothing was doubted
    groups[2] = group("heat transfer", "q7: by bus")
    heard: list[int] = []
    doubtful = find_doubtful(groups, OverlapScorer(), other, on_progress=heard.append)
    [found] = doubtful.found
    assert (found.query_id, found.text, found.label) == ("about heat transfer", "q7: by bus", 2.0)
    assert (found.trained, found.above) == (0.0, 1.0)
    assert (doubtful.positives, doubtful.count, doubtful.other) == (4, 1, "letters")
    assert (other.asked, len(heard)) == (1, 4)
    assert Doubtful.from_dict(doubtful.to_dict()) == doubtful


def test_one_model_alone_finds_nothing_and_a_single_negative_tells_nothing() -> None:
    paraphrase = group("shock waves", "shockwaves")  # no word of it, and all its letters
    assert find_doubtful([paraphrase], OverlapScorer(), Letters()).count == 0
    swapped = group("heat transfer", "q7: by bus")
    pair = Group(swapped.query, swapped.texts[:2])
    looked = find_doubtful([pair], OverlapScorer(), Letters())
    assert (looked.positives, looked.count) == (0, 0)


def test_the_likeliest_to_be_wrong_come_first() -> None:
    half = group("wing flutter", "flutter")
    none = group("heat transfer", "q7: by bus")
    doubtful = find_doubtful([half, none], OverlapScorer(), OverlapScorer())
    assert [each.query for each in doubtful.found] == ["heat transfer", "wing flutter"]
    assert doubtful.worst(1).count == 2


def test_a_model_that_fails_is_an_error() -> None:
    class Failing(Letters):
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            raise ScoreError("out of order")

    with pytest.raises(ScoreError):
        find_doubtful([group("heat transfer", "q7: by bus")], OverlapScorer(), Failing())
