"""Evaluation through the Retriever that serves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest

from retrieve_rerank import Document, Retriever, Scorer, TextScores
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.passages import Cut
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.evaluate import evaluate, evaluate_rankings, latency, stage_names
from retrieve_rerank.evaluation.report.findings import cautions

DOCUMENTS = [
    Document("wing", "wing wing wing"),
    Document("lift", "lift of a thin wing at low speed in a tunnel"),
    Document("pipe", "heat transfer in a pipe"),
]
QUERIES = {"q1": "wing", "q2": "heat pipe", "q3": "unjudged"}
QRELS = {"q1": {"lift": 1}, "q2": {"pipe": 2, "wing": 0}}


class Longest(Scorer):
    """Prefers long texts, cuts one of them in each search, and fails on request."""

    name = "longest"

    def __init__(self, fails_on: str = "") -> None:
        self.fails_on = fails_on

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [math.nan if query == self.fails_on else float(len(text)) for text in texts]

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        one = [True] + [False] * (len(texts) - 1)
        cut_query = query == QUERIES["q2"]
        return TextScores(self.score(query, texts), one, cut_query, ("odd",))


@pytest.fixture
def retriever() -> Retriever:
    return Retriever(MemoryConnector(DOCUMENTS), Longest())


def test_every_stage_of_the_served_search_is_measured(retriever: Retriever) -> None:
    result = evaluate(retriever, QUERIES, QRELS, measures=["MRR@10", "HR@1"])
    first, longest = result.stages
    assert (first.name, longest.name) == ("first-stage", "longest")
    for stage, position in ((first, 0), (longest, 1)):
        for query in QRELS:
            hits = retriever.search(QUERIES[query]).stages[position].hits
            assert list(stage.rankings[query]) == [hit.document.id for hit in hits]
    assert first.scores == {"MRR@10": {"q1": 0.5, "q2": 1.0}, "HR@1": {"q1": 0.0, "q2": 1.0}}
    assert longest.means == {"MRR@10": 1.0, "HR@1": 1.0}
    assert (len(first.ms), len(result.total_ms)) == (2, 2)
    assert longest.truncated == 2
    assert (first.truncated_queries, longest.truncated_queries) == (0, 1)
    cut = "the query is longer than the model reads: only its beginning counts"
    assert (first.notes, longest.notes) == ({}, {"odd": 2, cut: 1})
    assert f"longest, in 1 of 2 searches: {cut}." in cautions(result)
    assert result.to_dict()["stages"][1]["truncated_queries"] == 1


def test_a_judged_query_without_a_text_counts_as_zero_and_is_reported(
    retriever: Retriever,
) -> None:
    qrels = {**QRELS, "q9": {"wing": 1}}
    result = evaluate(retriever, QUERIES, qrels, measures=["MRR@10"])
    assert result.textless_queries == 1
    assert result.stages[1].scores["MRR@10"] == {"q1": 1.0, "q2": 1.0, "q9": 0.0}
    assert result.stages[1].means["MRR@10"] == pytest.approx(2 / 3)


def test_judged_documents_that_the_index_lacks_stay_relevant_and_are_counted(
    retriever: Retriever,
) -> None:
    qrels = {"q2": {"pipe": 1, "gone": 1}}
    result = evaluate(retriever, QUERIES, qrels, measures=["Recall@10"])
    assert (result.absent_documents, result.judged_documents) == (1, 2)
    assert result.stages[0].means["Recall@10"] == 0.5


def test_passages_stand_for_the_document_they_were_split_from() -> None:
    passages = Cut([Document("long", "pipe wing. " * 3), *DOCUMENTS], words=2)
    retriever = Retriever(MemoryConnector(passages))
    result = evaluate(retriever, QUERIES, {"q1": {"long": 1, "pipe": 0}}, measures=["P@3"])
    ranking = result.stages[0].rankings["q1"]
    assert sorted(ranking) == ["lift", "long", "wing"]
    assert result.absent_documents == 0
    assert result.stages[0].means["P@3"] == pytest.approx(1 / 3)


def test_judged_passages_are_measured_themselves() -> None:
    passages = Cut([Document("long", "pipe wing. " * 3)], words=2)
    retriever = Retriever(MemoryConnector(passages))
    result = evaluate(retriever, QUERIES, {"q1": {"long#1": 1}}, measures=["Recall@10"])
    assert sorted(result.stages[0].rankings["q1"]) == ["long#0", "long#1", "long#2"]
    assert result.stages[0].means["Recall@10"] == 1.0


def test_a_failing_stage_is_measured_as_served_and_counted() -> None:
    retriever = Retriever(MemoryConnector(DOCUMENTS), Longest(fails_on="wing"))
    result = evaluate(retriever, QUERIES, QRELS, measures=["MRR@10"])
    assert result.degraded_searches == 1
    assert list(result.stages[1].errors) == ["q1"]
    assert result.stages[1].scores["MRR@10"] == {"q1": 0.5, "q2": 1.0}


def test_top_k_keeps_the_first_hits_of_each_ranking(retriever: Retriever) -> None:
    result = evaluate(retriever, QUERIES, QRELS, measures=["MRR@10"], top_k=1)
    assert result.stages[0].scores["MRR@10"] == {"q1": 0.0, "q2": 1.0}


def test_progress_counts_the_searches(retriever: Retriever) -> None:
    heard: list[int] = []
    evaluate(retriever, QUERIES, QRELS, on_progress=heard.append)
    assert sum(heard) == 2


def test_an_interrupted_evaluation_yields_nothing(retriever: Retriever) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(retriever, QUERIES, QRELS, on_progress=interrupt)


def test_an_index_without_any_judged_document_is_refused(retriever: Retriever) -> None:
    with pytest.raises(InputError, match=r"holds none of the 2 judged documents; .* such as 'd7'"):
        evaluate(retriever, QUERIES, {"q1": {"d7": 1, "d8": 1}})


def test_judgments_of_other_queries_are_refused(retriever: Retriever) -> None:
    with pytest.raises(InputError, match="judged is 'PLAIN-1', given 'q1'"):
        evaluate(retriever, QUERIES, {"PLAIN-1": {"wing": 1}})


def test_a_run_that_answers_other_queries_is_refused() -> None:
    with pytest.raises(InputError, match=r"bm25\.run answers none of the 2 judged queries"):
        evaluate_rankings("bm25.run", {"other": ["wing"]}, QRELS)


def test_stages_of_one_name_are_told_apart() -> None:
    retriever = Retriever(MemoryConnector(DOCUMENTS), Longest(), Longest())
    assert stage_names(retriever) == ["first-stage", "longest", "longest-2"]
    result = evaluate(retriever, QUERIES, QRELS)
    assert [stage.name for stage in result.stages] == stage_names(retriever)


def test_percentiles_are_interpolated() -> None:
    assert list(latency([4.0, 1.0, 3.0, 2.0])) == pytest.approx([2.5, 3.85])


def test_the_dictionary_is_json_and_holds_each_query(retriever: Retriever) -> None:
    result = evaluate(retriever, QUERIES, QRELS, measures=["MRR@10"])
    values = json.loads(json.dumps(result.to_dict()))
    assert values["stages"][1]["measures"] == {"MRR@10": 1.0}
    assert values["stages"][0]["per_query"]["MRR@10"] == {"q1": 0.5, "q2": 1.0}
    assert set(values["ms"]) == {"p50", "p95"}
