"""The pipelines that are compared differ in the stage alone."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

from retrieve_rerank import Document, Retriever, Stage
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.training.finetuning.placing import Place, place, with_place
from retrieve_rerank.training.tuning import Tuned, find_candidates


def test_the_new_place_keeps_what_else_is_set() -> None:
    connector = MemoryConnector([Document("d", "wing")])
    first, last, trained = OverlapScorer(), OverlapScorer(), OverlapScorer()
    today = Retriever(connector, first, last, candidates=30, top_k=7, deadline_s=0.5)
    place = Place(1, Tuned(0.3, 20, 0.9, []))

    for scorer, expected in ((None, last), (trained, trained)):
        made = with_place(today, place, scorer)
        assert made.stages == (today.stages[0], Stage(expected, 20, 0.3))
        assert (made.candidates, made.top_k, made.deadline_s) == (30, 7, 0.5)


class Slow(OverlapScorer):
    """Prefers what is short, and takes two milliseconds for each text."""

    def score(self, query: str, texts: list[str]) -> list[float]:  # type: ignore[override]  # as the base
        time.sleep(0.002 * len(texts))
        return [-float(len(text)) for text in texts]


def test_no_more_hits_are_reranked_than_fit_into_what_a_search_may_take() -> None:
    """The relevant document is short, and comes last of thirty."""
    connector = MemoryConnector([Document(f"d{n}", "wing " * (30 - n)) for n in range(30)])
    found = find_candidates(Retriever(connector, candidates=30), {"q": "wing"}, {"q": {"d29": 1}})
    free = place(Slow(), {0: found}, depth=30)
    assert (free.tuned.depth, free.tuned.value, free.deepest) == (30, 1.0, None)
    assert place(Slow(), {0: found}, depth=30, max_p95_ms=1e6).tuned == free.tuned

    bound = place(Slow(), {0: found}, depth=30, max_p95_ms=24)
    assert bound.deepest is not None
    assert 1 <= bound.deepest <= 12  # of two milliseconds each
    assert {trial.depth for trial in bound.tuned.trials} <= set(range(1, bound.deepest + 1))
    assert place(Slow(), {0: found}, depth=30, max_p95_ms=0.001).tuned.depth == 1
