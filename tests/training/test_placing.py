"""The pipelines that are compared differ in the stage alone."""

from __future__ import annotations

import pytest

pytest.importorskip("ir_measures", reason="needs the extra 'eval'")

from retrieve_rerank import Document, Retriever, Stage
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.training.finetuning.placing import Place, with_place
from retrieve_rerank.training.tuning import Tuned


def test_the_new_place_keeps_what_else_is_set() -> None:
    connector = MemoryConnector([Document("d", "wing")])
    first, last, trained = OverlapScorer(), OverlapScorer(), OverlapScorer()
    today = Retriever(connector, first, last, candidates=30, top_k=7, deadline_s=0.5)
    place = Place(1, Tuned(0.3, 20, 0.9, []))

    for scorer, expected in ((None, last), (trained, trained)):
        made = with_place(today, place, scorer)
        assert made.stages == (today.stages[0], Stage(expected, 20, 0.3))
        assert (made.candidates, made.top_k, made.deadline_s) == (30, 7, 0.5)
