"""Weight and depth are tuned on rankings that a Retriever would serve."""

from __future__ import annotations

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.testing.hashing import HashingEncoder
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.training.tuning import find_candidates, tune
from retrieve_rerank.types import Hit, rescore

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

DOCUMENTS = [
    Document(f"d{n}", f"{'wing ' * (n % 4)} lift {'drag ' * (n % 3)} flow {n} number {n % 5}")
    for n in range(40)
]
QUERIES = {"q1": "wing lift number 3", "q2": "drag flow", "q3": "lift 7", "none": "of nobody"}
QRELS = {"q1": {"d3": 2, "d13": 1}, "q2": {"d5": 1, "d8": 1}, "q3": {"d7": 1}}


class Fewest(OverlapScorer):
    """Prefer short texts."""

    name = "fewest"
    default_weight = 0.4

    def score(self, query: str, texts: list[str]) -> list[float]:  # type: ignore[override]  # lists are what it gets
        return [-float(len(text)) for text in texts]


class Reversed(Reranker):
    name = "reversed"

    def _rerank(self, query: str, hits: list[Hit]) -> RerankResult:  # type: ignore[override]  # as above
        return RerankResult(rescore(hits, list(range(len(hits)))))


@pytest.fixture
def connector() -> MemoryConnector:
    return MemoryConnector(DOCUMENTS, encoder=HashingEncoder())


@pytest.mark.parametrize("before", [(), (Fewest(),)])
def test_rankings_are_those_that_a_retriever_serves(
    connector: MemoryConnector, before: tuple[Reranker, ...]
) -> None:
    scorer = OverlapScorer()
    candidates = find_candidates(
        Retriever(connector, *before, candidates=30), QUERIES, QRELS
    ).scored({"mine": scorer})
    for depth in (1, 7, 30, None):
        for weight in (0.0, 0.35, 1.0, None):
            stage = Stage(scorer, depth, weight)
            served = Retriever(connector, *before, stage, candidates=30)
            ranked = candidates.rankings(stage, "mine")
            for query in QRELS:
                hits = served.search(QUERIES[query], top_k=30)
                assert ranked[query] == [hit.document.id for hit in hits], (depth, weight)


def test_the_best_setting_is_that_of_exhaustive_evaluation(connector: MemoryConnector) -> None:
    from retrieve_rerank.evaluation.evaluate import evaluate

    candidates = find_candidates(Retriever(connector, candidates=30), QUERIES, QRELS).scored(
        {"fewest": Fewest()}
    )
    weights, depths = (0.0, 0.3, 1.0), (5, 20)

    tuned = tune(candidates, Fewest(), "fewest", weights=weights, depths=depths)

    values = {}
    for trial in tuned.trials:
        stage = Stage(Fewest(), trial.depth, trial.weight)
        measured = evaluate(Retriever(connector, stage, candidates=30), QUERIES, QRELS)
        assert trial.value == pytest.approx(measured.stages[-1].means["nDCG@10"])
        values[trial.depth, trial.weight] = trial.value
    assert tuned.value == max(values.values()) == values[tuned.depth, tuned.weight]


def test_settings_of_equal_worth_leave_the_shallowest_and_the_usual_weight(
    connector: MemoryConnector,
) -> None:
    """Where nothing relevant is within reach, all settings are worth the same."""
    qrels = {"q1": {"d39": 1}}
    candidates = find_candidates(Retriever(connector, candidates=3), QUERIES, qrels).scored(
        {"fewest": Fewest()}
    )
    tuned = tune(candidates, Fewest(), "fewest", weights=(0.0, 0.5, 1.0), depths=(2, 50))
    assert (tuned.depth, tuned.weight, tuned.value) == (2, 0.5, 0.0)
    assert {trial.depth for trial in tuned.trials} == {2, 3}


def test_each_candidate_is_searched_for_and_scored_once(connector: MemoryConnector) -> None:
    asked: list[int] = []

    class Counting(OverlapScorer):
        def score(self, query: str, texts: list[str]) -> list[float]:  # type: ignore[override]  # as above
            asked.append(len(texts))
            return super().score(query, texts)

    candidates = find_candidates(Retriever(connector, candidates=30), QUERIES, QRELS).scored(
        {"mine": Counting()}, depth=20
    )
    tune(candidates, Counting(), "mine")
    assert asked == [20, 20, 20]
    with pytest.raises(InputError, match="scores reach to depth 20; got 25"):
        candidates.rankings(Stage(Counting(), 25), "mine")


def test_rerankers_that_look_at_all_hits_cannot_be_tuned_from_scores_once(
    connector: MemoryConnector,
) -> None:
    relative = OverlapScorer()
    relative.pointwise = False
    for listwise in (Reversed(), relative):
        with pytest.raises(InputError, match="listwise does not score hits one by one"):
            find_candidates(Retriever(connector), QUERIES, QRELS).scored({"listwise": listwise})
    with pytest.raises(InputError, match="none of the 1 judged queries has a text"):
        find_candidates(Retriever(connector), QUERIES, {"unknown": {"d1": 1}})
