"""Ids of judgments against ids of hits."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.passages import whole_ids
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.evaluation.calibration.calibrating import score_candidates
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments
from retrieve_rerank.testing import HashingEncoder, OverlapScorer

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
    wholes = whole_ids(MemoryConnector(PASSAGES), [each.id for each in PASSAGES])
    assert wholes == {each.id: each.whole_id for each in PASSAGES}
    unread = ["guide#1", "whole", "guide#0", "x", "issue#7"]
    assert judged.without_metadata(unread, wholes) == ["guide", "whole", "x", "issue#7"]
    both = JudgedDocuments(MemoryConnector(PASSAGES), {"q": {"guide": 1, "guide#1": 2}})
    assert [both.id_of(each) for each in PASSAGES[:2]] == ["guide", "guide#1"]
    assert both.without_metadata(["guide#1", "guide#0"], wholes) == ["guide#1", "guide"]


def test_where_passages_are_judged_those_that_nobody_judged_count_one_by_one() -> None:
    other = [Document(f"tour#{i}", "wing", {"parent": "tour", "passage": i}) for i in range(2)]
    connector = MemoryConnector([*PASSAGES, *other])
    ids = [each.id for each in (*PASSAGES, *other)]
    judged = JudgedDocuments(connector, {"q": {"guide#1": 1}})
    assert [judged.id_of(each) for each in (*PASSAGES, *other)] == ids
    assert judged.without_metadata(ids, whole_ids(connector, ids)) == ids
    mixed = JudgedDocuments(connector, {"q": {"guide#1": 1}, "p": {"tour": 1}})
    assert mixed.without_metadata(ids, whole_ids(connector, ids)) == [*ids[:4], "tour"]
    unlike = JudgedDocuments(connector, {"q": {"issue#7": 1}})  # whose id alone is like a passage's
    assert [unlike.id_of(each) for each in other] == ["tour", "tour"]


def test_unjudged_passages_push_a_judged_one_down() -> None:
    texts = ["wing wing wing", "wing wing pipe", "wing heat pipe", "wing heat lift pipe"]
    passages = [
        Document(f"guide#{i}", text, {"parent": "guide", "passage": i})
        for i, text in enumerate(texts)
    ]
    for more in ({}, {"p": {"guide#0": 1, "guide#1": 1}}):
        found = evaluate(
            Retriever(MemoryConnector(passages)),
            {"q": "wing"},
            {"q": {"guide#3": 1}, **more},
            measures=["MRR"],
        )
        assert found.stages[0].scores["MRR"]["q"] == 0.25
        assert found.stages[0].rankings["q"] == [each.id for each in passages]


def test_eval_and_audit_agree_on_ids_that_are_like_those_of_passages(tmp_path: Path) -> None:
    documents = [
        Document("issue#7", "wing"),  # which is no passage of issue, though it has a parent
        Document("issue", "wing lift pipe", {"parent": "issue", "passage": 7}),
        Document("mail#1", "wing lift", {"parent": "mail"}),
        Document("guide#0", "heat in a pipe of copper", {"parent": "guide", "passage": 0}),
    ]
    queries = {"q": "wing", "p": "copper heat", "mail": "wing lift"}
    qrels = {"q": {"issue": 1}, "p": {"guide": 1, "mail": 2}, "mail": {"issue": 1}}
    with EmbeddedConnector.create(tmp_path / "index", encoder=HashingEncoder()) as connector:
        connector.index(documents)
        for exclude_self in (False, True):
            judged = evaluate(
                Retriever(connector),
                queries,
                qrels,
                measures=["nDCG@10", "Recall@10"],
                exclude_self=exclude_self,
            )
            found = audit(connector, queries, qrels=qrels, exclude_self=exclude_self).relevance
            assert found is not None
            assert found.ndcg_exact == pytest.approx(judged.stages[0].means["nDCG@10"])
            assert found.found[10] == pytest.approx(judged.stages[0].means["Recall@10"])
            assert judged.absent_documents == 1  # mail: mail#1 is no passage of it


def test_judgments_of_another_collection_are_refused() -> None:
    with pytest.raises(InputError, match=r"none of the 2 judged documents.*such as 'a'"):
        JudgedDocuments(MemoryConnector(PASSAGES), {"q": {"a": 1}, "p": {"b": 1}})


def test_calibration_takes_a_passage_as_relevant_as_its_document() -> None:
    found = score_candidates(
        OverlapScorer(), MemoryConnector(PASSAGES), {"q": "wing"}, {"q": {"guide": 1}}, depth=5
    )
    assert [each.relevant for each in found] == [[True, True]]
