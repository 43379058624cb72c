from __future__ import annotations

import json
import math

import numpy as np
import pytest

from retrieve_rerank import Document, Hit, SearchResult, StageReport, rank, rescore
from retrieve_rerank.errors import ScoreError
from retrieve_rerank.types import append_unscored


def documents(ids: str) -> list[Document]:
    return [Document(id_, f"text of {id_}") for id_ in ids]


def ids(hits: list[Hit]) -> str:
    return "".join(hit.document.id for hit in hits)


def test_rank_orders_by_score_and_counts_from_one() -> None:
    hits = rank(zip(documents("abc"), [0.1, 0.3, 0.2], strict=True))
    assert ids(hits) == "bca"
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [hit.score for hit in hits] == [0.3, 0.2, 0.1]


def test_equal_scores_keep_order() -> None:
    hits = rank(zip(documents("abcd"), [1.0, 2.0, 1.0, 2.0], strict=True))
    assert ids(hits) == "bdac"
    assert ids(rescore(hits, [5.0, 5.0, 5.0, 5.0])) == "bdac"


def test_rank_cuts_at_top_k() -> None:
    assert ids(rank(zip(documents("abc"), [1.0, 3.0, 2.0], strict=True), top_k=2)) == "bc"


def test_rescored_hits_remember_where_they_came_from() -> None:
    first = rank(zip(documents("ab"), [2.0, 1.0], strict=True))
    second = rescore(first, [-1.0, 7.0])
    third = rescore(second, [0.5, 0.6])
    assert ids(second) == "ba"
    assert second[0].previous is first[1]
    assert ids(third) == "ab"
    assert (third[0].first_stage.rank, third[0].first_stage.score) == (1, 2.0)


@pytest.mark.parametrize("position", [0, 1])
def test_a_nan_is_an_error_wherever_it_stands(position: int) -> None:
    scores = [1.0, 1.0]
    scores[position] = math.nan
    with pytest.raises(ScoreError, match=f"score {position + 1} of 2 is NaN"):
        rank(zip(documents("ab"), scores, strict=True))


def test_a_missing_score_is_an_error() -> None:
    hits = rank(zip(documents("ab"), [2.0, 1.0], strict=True))
    with pytest.raises(ScoreError, match="expected 2 scores, one for each hit; got 1"):
        rescore(hits, [1.0])


def test_unscored_hits_follow_in_their_order() -> None:
    hits = rank(zip(documents("abcd"), [4.0, 3.0, 2.0, 1.0], strict=True))
    merged = append_unscored(rescore(hits[:2], [0.0, 9.0]), hits[2:])
    assert ids(merged) == "bacd"
    assert [hit.rank for hit in merged] == [1, 2, 3, 4]
    assert merged[3].score == 1.0


def test_numpys_scores_become_numbers_that_json_knows() -> None:
    hits = rank([(document, 0.0) for document in documents("ab")])
    rescored = rescore(hits, list(np.array([0.5, 2.0], dtype=np.float32)))
    assert json.dumps([hit.score for hit in rescored]) == "[2.0, 0.5]"


def test_an_unscored_hit_that_moves_remembers_where_it_was() -> None:
    hits = rank(zip(documents("abc"), [3.0, 2.0, 1.0], strict=True))
    merged = append_unscored(rescore(hits[2:], [9.0]), hits[:2])
    assert ids(merged) == "cab"
    assert [hit.rank for hit in merged] == [1, 2, 3]
    assert [hit.first_stage.rank for hit in merged] == [3, 1, 2]
    assert merged[1].score == 3.0


def test_a_result_is_degraded_when_a_stage_failed() -> None:
    fine = StageReport("a", ms=1.0, candidates=1, scored=1)
    failed = StageReport("b", ms=1.0, candidates=1, scored=0, error="no time left")
    assert not SearchResult("q", [], [fine]).degraded
    assert SearchResult("q", [], [fine, failed]).degraded


def test_a_title_is_read_from_the_metadata() -> None:
    assert Document("a", "text", {"title": "Wings"}).title == "Wings"
    assert Document("a", "text", {"title": None}).title == ""
