"""Several stages under a deadline, with thresholds, and stages that drop hits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from retrieve_rerank import Document, Hit, Retriever, Stage, TextScores, rank
from retrieve_rerank.base import RerankResult
from retrieve_rerank.concurrency.deadline import Deadline
from retrieve_rerank.concurrency.steps import drive
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.cascade import Cascade
from retrieve_rerank.pipeline.slices import FIRST_SLICE, LEAST_SLICE, HitCost, rerank_within
from retrieve_rerank.rerankers.cached import Cached, ScoreCache
from retrieve_rerank.rerankers.collapse import Collapse
from retrieve_rerank.testing import OverlapScorer

COUNT = 60
DOCUMENTS = [
    Document(f"d{i}", f"wing {'lift ' * (i % 5)}number {i}", {"book": i % 7}) for i in range(COUNT)
]
QUERY = "wing lift"


class Paced(OverlapScorer):
    """Takes the same time for each text, and remembers what it was given."""

    name = "paced"

    def __init__(self, hit_s: float) -> None:
        self.hit_s = hit_s
        self.slices: list[list[str]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.slices.append(list(texts))
        time.sleep(self.hit_s * len(texts))
        return super().score(query, texts)


class Calibrated(OverlapScorer):
    name = "calibrated"

    def probabilities(self, scores: Sequence[float]) -> list[float]:
        return [score / 2 for score in scores]


@pytest.fixture(scope="module")
def connector() -> MemoryConnector:
    return MemoryConnector(DOCUMENTS)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.document.id for hit in hits]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_under_a_deadline_the_first_hits_are_scored_and_the_rest_follow(
    connector: MemoryConnector, asynchronous: bool
) -> None:
    scorer = Paced(0.08)
    retriever = Retriever(connector, scorer)
    if asynchronous:
        result = asyncio.run(retriever.asearch(QUERY, top_k=COUNT, deadline_s=2.0))
    else:
        result = retriever.search(QUERY, top_k=COUNT, deadline_s=2.0)
    first, stage = result.stages
    scored = stage.scored
    assert 0 < scored < COUNT
    assert stage.error is not None
    assert stage.error.startswith(f"scored {scored} of {COUNT}: no time left within the deadline")
    assert result.degraded
    before = ids(first.hits)
    assert set(ids(result.hits[:scored])) == set(before[:scored])
    assert ids(result.hits[scored:]) == before[scored:]
    assert [hit.rank for hit in result] == list(range(1, COUNT + 1))
    scores = [hit.score for hit in result.hits[:scored]]
    assert scores == sorted(scores, reverse=True)


def test_slices_follow_the_first_stages_order(connector: MemoryConnector) -> None:
    scorer = Paced(0.001)
    result = Retriever(connector, scorer).search(QUERY, top_k=COUNT, deadline_s=30)
    assert not result.degraded
    expected = [hit.document.text for hit in result.stages[0].hits]
    assert [text for part in scorer.slices for text in part] == expected
    assert len(scorer.slices[0]) == FIRST_SLICE


def test_what_slices_cost_is_remembered_from_search_to_search(connector: MemoryConnector) -> None:
    scorer = Paced(0.001)
    retriever = Retriever(connector, scorer)
    retriever.search(QUERY, deadline_s=30)
    scorer.slices.clear()
    retriever.search(QUERY, deadline_s=30)
    assert [len(part) for part in scorer.slices] == [COUNT]


def test_texts_whose_scores_depend_on_each_other_are_not_cut_into_slices(
    connector: MemoryConnector,
) -> None:
    class Relative(Paced):
        pointwise = False

    scorer = Relative(0.0)
    result = Retriever(connector, scorer).search(QUERY, top_k=COUNT, deadline_s=30)
    assert not result.degraded
    assert [len(part) for part in scorer.slices] == [COUNT]


def test_slices_give_what_one_go_gives(connector: MemoryConnector) -> None:
    whole = Retriever(connector, OverlapScorer()).search(QUERY, top_k=COUNT)
    sliced = Retriever(connector, OverlapScorer()).search(QUERY, top_k=COUNT, deadline_s=30)
    assert sliced.hits == whole.hits


def test_stages_after_one_that_took_all_the_time_are_skipped(connector: MemoryConnector) -> None:
    result = Retriever(connector, Paced(0.25), OverlapScorer()).search(QUERY, deadline_s=1.0)
    assert result.stages[-1].scored == 0
    assert result.stages[-1].error is not None
    assert "no time left" in result.stages[-1].error


def test_counts_and_notes_of_slices_add_up(connector: MemoryConnector) -> None:
    class Telling(OverlapScorer):
        name = "telling"

        def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
            cut = [True] * len(texts)
            return TextScores(self.score(query, texts), cut, False, ("something odd",), 1)

    result = Retriever(connector, Telling()).search(QUERY, deadline_s=30)
    stage = result.stages[-1]
    assert stage.truncated == stage.candidates
    assert stage.cache_hits == 2
    assert stage.notes == ("something odd",)


def test_the_cost_of_a_hit_is_learned_from_what_slices_take() -> None:
    cost = HitCost()
    assert cost.slice(100, 0.01) == FIRST_SLICE
    cost.learn(FIRST_SLICE, FIRST_SLICE * 0.01)  # 10 ms a hit, 12 with the margin
    assert cost.slice(100, 10.0) == 100
    assert cost.slice(100, 1.0) == 50  # 0.6 s / 12 ms
    assert cost.slice(100, 0.05) == LEAST_SLICE
    assert cost.slice(2, 0.03) == 2
    assert cost.slice(100, 0.04) == 0
    cost.learn(10, 10 * 0.02)  # 9 ms after the vain try, then 0.4 of the way to 20 ms
    assert cost.slice(100, 1.0) == int(0.6 / ((0.009 + 0.4 * 0.011) * 1.2))


def test_a_slice_that_was_cut_off_tells_the_least_that_a_hit_costs() -> None:
    cost = HitCost()
    cost.learn_least(10, 1.0)  # at least 100 ms a hit, 120 with the margin
    assert cost.slice(100, 1.0) == 5
    cost.learn_least(5, 0.1)  # which is known already
    assert cost.slice(100, 1.0) == 5
    cost.learn_least(5, 1.0)
    assert cost.slice(100, 1.0) == LEAST_SLICE


def test_hits_from_a_cache_and_failures_teach_no_cost(connector: MemoryConnector) -> None:
    class Told(Paced):
        fingerprint = "v1"

        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            if "fail" in query:
                raise RuntimeError("at once")
            return super().score(query, texts)

    cached, cost = Cached(Told(0.002), ScoreCache()), HitCost()

    def rerank(query: str) -> RerankResult:
        found = connector.search(QUERY, top_k=COUNT)
        steps = rerank_within(Deadline(30), cached, query, found, cost)
        return drive(steps, lambda work: work.here())

    for _ in range(20):
        assert len(rerank(QUERY)) == COUNT
        with pytest.raises(RuntimeError, match="at once"):
            rerank("fail")
    assert cost.slice(COUNT, 0.1) < COUNT, "60 hits cost at least 0.12 s"


def test_a_cost_that_left_no_time_is_tried_again() -> None:
    cost = HitCost()
    cost.learn(1, 10.0)  # the first call loaded a model
    tries = 0
    while not cost.slice(10, 1.0):
        tries += 1
    assert 10 < tries < 50


TWICE = rank(
    [
        (Document("a", "wing lift"), 3.0),
        (Document("b", "wing"), 2.0),
        (Document("a", "drag"), 1.0),
    ]
)
"""Two hits of one id, as a caller may bring them."""


def texts(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.document.text, hit.score) for hit in hits]


@pytest.mark.parametrize("deadline_s", [None, 30])
def test_hits_of_one_id_have_scores_of_their_own(deadline_s: float | None) -> None:
    found = Cascade(OverlapScorer()).rerank(QUERY, TWICE, deadline_s=deadline_s)
    assert texts(found.hits) == [("wing lift", 2.0), ("wing", 1.0), ("drag", 0.0)]


def test_hits_of_one_id_are_mixed_and_judged_each_by_itself() -> None:
    stage = Stage(Calibrated(), weight=0.5, min_probability=0.5)
    found = Cascade(stage).rerank(QUERY, TWICE)
    assert [text for text, _ in texts(found.hits)] == ["wing lift", "wing"]
    assert [hit.sources["calibrated"].score for hit in found] == [2.0, 1.0]


def test_a_hit_below_the_depth_stays_though_its_id_was_scored() -> None:
    found = Cascade(Stage(OverlapScorer(), depth=2)).rerank(QUERY, TWICE)
    assert texts(found.hits) == [("wing lift", 2.0), ("wing", 1.0), ("drag", 1.0)]


def test_hits_below_a_probability_are_dropped(connector: MemoryConnector) -> None:
    stage = Stage(Calibrated(), depth=20, min_probability=0.8)
    result = Retriever(connector, stage).search(QUERY, top_k=COUNT)
    assert result.hits
    assert all("lift" in hit.document.text for hit in result)
    assert len(result.hits) == sum(
        "lift" in hit.document.text for hit in result.stages[0].hits[:20]
    )
    assert [hit.rank for hit in result] == list(range(1, len(result) + 1))


def test_a_threshold_looks_at_the_stages_own_score_not_the_mixture(
    connector: MemoryConnector,
) -> None:
    stage = Stage(Calibrated(), weight=0.0, min_probability=0.8)
    result = Retriever(connector, stage).search(QUERY, top_k=COUNT)
    assert result.hits
    assert all("lift" in hit.document.text for hit in result)


def test_a_threshold_that_all_fail_leaves_no_hit(connector: MemoryConnector) -> None:
    stage = Stage(Calibrated(), min_probability=1.0)
    result = Retriever(connector, stage).search("wing aileron", top_k=5)
    assert list(result) == []
    assert not result.degraded


def test_thresholds_that_cannot_be_are_errors() -> None:
    with pytest.raises(InputError, match="overlap has none; rr calibrate makes one"):
        Stage(OverlapScorer(), min_probability=0.5)
    with pytest.raises(InputError, match=r"between 0 and 1; got 1\.5"):
        Stage(Calibrated(), min_probability=1.5)


def test_collapsing_before_reranking_saves_work_and_after_it_keeps_the_best(
    connector: MemoryConnector,
) -> None:
    before = Retriever(connector, Collapse("book"), OverlapScorer()).search(QUERY, top_k=COUNT)
    assert before.stages[2].candidates == 7
    after = Retriever(connector, OverlapScorer(), Collapse("book")).search(QUERY, top_k=COUNT)
    for result in (before, after):
        assert sorted(hit.document.metadata["book"] for hit in result) == list(range(7))
        assert [hit.rank for hit in result] == list(range(1, 8))
    best: dict[int, str] = {}
    for hit in after.stages[1].hits:
        best.setdefault(hit.document.metadata["book"], hit.document.id)
    assert {hit.document.metadata["book"]: hit.document.id for hit in after} == best


def test_collapsing_to_a_depth_loses_no_group_and_shows_none_again(
    connector: MemoryConnector,
) -> None:
    result = Retriever(connector, Stage(Collapse("book"), depth=4)).search(QUERY, top_k=COUNT)
    found = result.stages[0].hits
    books = [hit.document.metadata["book"] for hit in found]
    first = [n for n in range(4) if books[n] not in books[:n]]
    rest = [n for n in range(4, COUNT) if books[n] not in books[:4]]
    assert ids(result.hits) == [found[n].document.id for n in [*first, *rest]]
    assert {hit.document.metadata["book"] for hit in result} == set(range(7))
    assert [hit.rank for hit in result] == list(range(1, len(result) + 1))
