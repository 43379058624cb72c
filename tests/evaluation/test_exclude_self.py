"""Queries that were taken from the documents, as in ArguAna and Quora."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from retrieve_rerank import Document, Retriever
from retrieve_rerank.cli import main
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.data.passages import Cut
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.evaluation.audit.findings import findings
from retrieve_rerank.evaluation.calibration.calibrating import score_candidates
from retrieve_rerank.evaluation.evaluate import evaluate, evaluate_rankings
from retrieve_rerank.evaluation.report.findings import cautions
from retrieve_rerank.testing import HashingEncoder, OverlapScorer

TEXTS = {
    "bus": "free buses bring people out of their cars",
    "bus-con": "free buses are crowded and people keep their cars",
    "zoo": "zoos teach people what animals are like",
    "zoo-con": "zoos teach people only how caged animals are",
}
DOCUMENTS = [Document(id_, text) for id_, text in TEXTS.items()]
QUERIES = {id_: TEXTS[id_] for id_ in ("bus", "zoo")}
QRELS = {"bus": {"bus-con": 1}, "zoo": {"zoo-con": 1}}


def test_a_query_that_is_a_document_is_not_its_own_answer() -> None:
    retriever = Retriever(MemoryConnector(DOCUMENTS), OverlapScorer(), candidates=2)
    met = evaluate(retriever, QUERIES, QRELS, measures=["MRR"])
    assert [stage.means["MRR"] for stage in met.stages] == [0.5, 0.5]
    assert met.own_documents == met.to_dict()["own_documents"] == 2
    assert [c for c in cautions(met) if c.startswith("2 of the 2 queries found a document of thei")]

    apart = evaluate(retriever, QUERIES, QRELS, measures=["MRR"], exclude_self=True)
    assert [stage.means["MRR"] for stage in apart.stages] == [1, 1]
    assert [stage.scored for stage in apart.stages] == [6, 6]  # the three others of each
    assert apart.own_documents == 0
    assert not cautions(apart)


def test_a_document_that_is_judged_relevant_to_its_own_query_is_no_surprise() -> None:
    retriever = Retriever(MemoryConnector(DOCUMENTS))
    qrels = {"bus": {"bus": 1}, "zoo": {"zoo": 0, "zoo-con": 1}}
    assert evaluate(retriever, QUERIES, qrels).own_documents == 1


def test_the_querys_own_passages_are_left_out_with_it() -> None:
    long = Document("bus", " ".join([TEXTS["bus"]] * 40))
    passages = list(Cut([long, *DOCUMENTS[1:]], words=40))
    assert sum(each.whole_id == "bus" for each in passages) > 2
    retriever = Retriever(MemoryConnector(passages))
    assert evaluate(retriever, QUERIES, QRELS, measures=["MRR"]).own_documents == 2
    apart = evaluate(retriever, QUERIES, QRELS, measures=["MRR"], exclude_self=True)
    assert apart.stages[0].means["MRR"] == 1


def test_it_is_left_out_of_rankings_that_were_made_elsewhere() -> None:
    rankings = {"bus": ["bus", "bus-con"], "zoo": ["zoo-con", "zoo"]}
    for exclude_self, expected in ((False, 0.75), (True, 1)):
        measured = evaluate_rankings(
            "run", rankings, QRELS, measures=["MRR"], exclude_self=exclude_self
        )
        assert measured.means["MRR"] == expected
    cut = evaluate_rankings("run", rankings, QRELS, measures=["MRR"], top_k=1, exclude_self=True)
    assert cut.means["MRR"] == 1  # what is left out takes no place


def test_it_is_left_out_of_the_documents_that_are_calibrated_on() -> None:
    for exclude_self in (False, True):
        scored = score_candidates(
            OverlapScorer(),
            MemoryConnector(DOCUMENTS),
            QUERIES,
            QRELS,
            depth=2,
            exclude_self=exclude_self,
        )
        assert [each.own for each in scored] == [not exclude_self] * 2
        assert [list(each.relevant) for each in scored] == [
            [True, False] if exclude_self else [False, True]
        ] * 2


def test_its_passages_leave_as_many_documents_to_calibrate_on() -> None:
    long = Document("bus", " ".join([TEXTS["bus"]] * 40))
    connector = MemoryConnector(Cut([long, *DOCUMENTS[1:]], words=40))
    scored = score_candidates(
        OverlapScorer(), connector, QUERIES, QRELS, depth=3, exclude_self=True
    )
    assert [len(each.scores) for each in scored] == [3, 3]


def test_it_is_left_out_of_the_neighbours_that_are_audited(tmp_path: Path) -> None:
    with EmbeddedConnector.create(tmp_path / "index", encoder=HashingEncoder()) as index:
        index.index(DOCUMENTS)
        met = audit(index, QUERIES, qrels=QRELS, top_ks=[1])
        assert met.own_documents == 2
        assert re.search("2 of the 2 queries have a document of their own id", findings(met)[-1])
        assert met.relevance is not None
        assert met.relevance.ndcg_exact < 1

        apart = audit(index, QUERIES, qrels=QRELS, top_ks=[1], exclude_self=True)
        assert apart.own_documents == 0
        assert apart.relevance is not None
        assert apart.relevance.ndcg_exact == apart.relevance.ndcg_approximate == 1
        assert all(each.recall == 1 for each in apart.measured)


@pytest.mark.parametrize("command", ["eval", "run"])
def test_the_command_line_leaves_it_out_when_asked_to(tmp_path: Path, command: str) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    (data / "qrels").mkdir(parents=True)
    (data / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": id_, "text": text}) + "\n" for id_, text in QUERIES.items())
    )
    (data / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nbus\tbus-con\t1\nzoo\tzoo-con\t1\n"
    )
    run = tmp_path / "run.trec"
    run.write_text(
        "".join(f"{q} Q0 {d} {i} {-i} x\n" for q in QRELS for i, d in enumerate([q, f"{q}-con"]))
    )
    with EmbeddedConnector.create(index, encoder=None) as made:
        made.index(DOCUMENTS)
    source = ["--index", str(index)] if command == "eval" else ["--run", str(run)]
    arguments = ["eval", *source, "--data", str(data), "--measure", "MRR", "--json"]
    for options, expected in (([], 0.5), (["--exclude-self"], 1)):
        done = CliRunner().invoke(main, [*arguments, *options])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["stages"][0]["measures"]["MRR"] == expected
        said = done.stderr.count("found a document of their own id")
        assert said == (0 if options else 1)
