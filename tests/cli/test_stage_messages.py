"""What people are told of the stages of a search."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieve_rerank import Document, SearchResult, Stage, StageReport, rank
from retrieve_rerank.cli.views.stage_messages import stage_messages
from retrieve_rerank.testing import OverlapScorer

HITS = rank((Document(str(n), "wing"), 0.0) for n in range(5))


class Even(OverlapScorer):
    def probabilities(self, scores: Sequence[float]) -> list[float]:
        return [0.5] * len(scores)


def messages(stage: Stage, *, scored: int, left: int, error: str | None = None) -> list[str]:
    first = StageReport("first-stage", 1.0, 5, 5, hits=HITS)
    report = StageReport("overlap", 1.0, 5, scored, error=error, notes=["a note"], hits=HITS[:left])
    result = SearchResult("wing", HITS[:left], [first, report])
    return list(stage_messages(result, [stage]))


def test_a_stage_that_did_nothing_left_the_order() -> None:
    assert messages(Stage(OverlapScorer()), scored=0, left=5, error="no answer") == [
        "Warning: overlap left the order as it was: no answer",
        "Note: overlap: a note",
    ]


@pytest.mark.parametrize(
    ("stage", "left", "others"),
    [
        (Stage(OverlapScorer()), 5, "follow as they were"),
        (Stage(Even(), min_probability=0.1), 2, "are dropped"),
    ],
)
def test_a_stage_that_scored_some_has_changed_the_order(
    stage: Stage, left: int, others: str
) -> None:
    error = "scored 2 of 5: no answer within 0.2 s"
    assert messages(stage, scored=2, left=left, error=error)[0] == (
        f"Warning: overlap scored 2 of 5: no answer within 0.2 s; the others {others}"
    )


def test_a_stage_that_dropped_everything_tells_its_threshold() -> None:
    assert messages(Stage(Even(), min_probability=0.9), scored=4, left=0) == [
        "Note: overlap: a note",
        "Note: overlap dropped 5 of 5 hits: of 4 that it scored, 0 reach its min_probability of"
        " 0.9",
    ]


def test_the_first_stage_speaks_for_itself_and_nothing_is_said_twice() -> None:
    first = StageReport("first-stage", 1.0, 5, 5, notes=["one", "a note"], hits=HITS)
    report = StageReport("overlap", 1.0, 5, 5, notes=["a note", "two"], hits=HITS)
    result = SearchResult("wing", HITS, [first, report])
    assert list(stage_messages(result, [Stage(OverlapScorer())])) == [
        "Note: one",
        "Note: a note",
        "Note: overlap: two",
    ]
