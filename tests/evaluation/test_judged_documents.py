"""Ids of judgments against ids of hits."""

from __future__ import annotations

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.calibration.calibrating import score_candidates
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.testing import OverlapScorer

PASSAGES = [
    Document("guide#0", "pipe wing", {"parent": "guide", "passage": 0}),
    Document("guide#1", "wing", {"parent": "guide", "passage": 1}),
    Document("issue#7", "pipe"),  # no passage: that is its id
    Document("whole", "heat"),
]


def test_passages_stand_for_the_documents_that_are_judged() -> None:
    judged = JudgedDocuments(MemoryConnector(PASSAGES), {"q": {"guide": 1, "gone": 1, "whole": 0}})
    assert judged.absent == 1
    assert [judged.id_of(each) for each in PASSAGES] == ["guide", "guide", "issue#7", "whole"]
    assert judged.without_metadata(["guide#1", "whole", "guide#0", "x"]) == ["guide", "whole", "x"]
    itself = JudgedDocuments(MemoryConnector(PASSAGES), {"q": {"guide#1": 1}})
    assert [itself.id_of(each) for each in PASSAGES[:2]] == ["guide", "guide#1"]
    assert itself.without_metadata(["guide#1", "guide#0"]) == ["guide#1", "guide"]


def test_judgments_of_another_collection_are_refused() -> None:
    with pytest.raises(InputError, match=r"none of the 2 judged documents.*such as 'a'"):
        JudgedDocuments(MemoryConnector(PASSAGES), {"q": {"a": 1}, "p": {"b": 1}})


def test_calibration_takes_a_passage_as_relevant_as_its_document() -> None:
    found = score_candidates(
        OverlapScorer(), MemoryConnector(PASSAGES), {"q": "wing"}, {"q": {"guide": 1}}, depth=5
    )
    assert [each.relevant for each in found] == [[True, True]]
