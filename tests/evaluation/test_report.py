"""The report, in words and as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from retrieve_rerank.evaluation.compare import compare
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation, evaluate_rankings
from retrieve_rerank.evaluation.report.findings import cautions, verdict
from retrieve_rerank.evaluation.report.report import extremes, render_report

QRELS = {f"q{i}": {"good": 1} for i in range(8)}
GOOD = {query: ["good", "bad"] for query in QRELS}
BAD = {query: ["bad", "good"] for query in QRELS}


def stage(name: str, rankings: dict[str, list[str]], **facts: object) -> StageEvaluation:
    measured = evaluate_rankings(name, rankings, QRELS, measures=["MRR@10", "Recall@10"])
    return StageEvaluation(
        name,
        measured.rankings,
        measured.scores,
        measured.means,
        **facts,  # type: ignore[arg-type]
    )


def evaluation(*stages: StageEvaluation, **facts: object) -> Evaluation:
    return Evaluation(
        qrels=QRELS,
        queries={query: f"what is {query}?" for query in QRELS},
        measures=["MRR@10", "Recall@10"],
        stages=stages,
        **facts,  # type: ignore[arg-type]
    )


def page(result: Evaluation, baseline: StageEvaluation, title: str = "docs") -> str:
    comparisons = compare(result.stages, baseline)
    return render_report(result, title=title, baseline=baseline, comparisons=comparisons)


def test_names_in_any_script_stand_in_the_pictures_without_a_warning() -> None:
    first, last = stage("基线.run", BAD), stage("max-sim", GOOD)
    assert "max-sim against 基线.run</text>" in page(evaluation(first, last), first)


@pytest.mark.parametrize(
    ("before", "after", "tone", "words"),
    [
        (BAD, GOOD, "better", "max-sim helps. MRR@10 rises from 0.5000 (first-stage) to 1.0000"),
        (GOOD, BAD, "worse", "max-sim hurts. MRR@10 falls from 1.0000 (first-stage) to 0.5000"),
        (GOOD, GOOD, "even", "max-sim changes nothing. MRR@10 is 1.0000 as for first-stage"),
        (GOOD, GOOD | {"q0": ["bad"]}, "even", "max-sim makes no demonstrable difference. MRR@10"),
    ],
)
def test_the_verdict_says_in_words_whether_a_stage_helps(
    before: dict[str, list[str]], after: dict[str, list[str]], tone: str, words: str
) -> None:
    first, last = stage("first-stage", before), stage("max-sim", after)
    found = verdict(last, first, compare([first, last], first))
    assert found.tone == tone
    assert f"{found.claim} {found.evidence}".startswith(words)


def test_the_verdict_names_a_measure_that_suffers_while_the_first_gains() -> None:
    qrels = {query: {"good": 1, "fine": 1} for query in QRELS}
    before, after = {q: ["x", "good", "fine"] for q in QRELS}, {q: ["good"] for q in QRELS}
    measures = ["MRR@10", "Recall@10"]
    first = evaluate_rankings("first-stage", before, qrels, measures=measures)
    last = evaluate_rankings("max-sim", after, qrels, measures=measures)
    found = verdict(last, first, compare([last], first))
    assert found.tone == "better"
    assert "But it lowers Recall@10" in found.evidence


def test_cautions_name_all_that_is_missing() -> None:
    failing = stage(
        "cross-encoder",
        {q: GOOD[q] for q in list(QRELS)[1:]},
        ms=[1.0] * 8,
        scored=16,
        truncated=3,
        errors={"q1": "no time left"},
    )
    result = evaluation(failing, absent_documents=1)
    assert cautions(result) == [
        "Degraded searches: 1 of 8; a stage failed or ran out of time there, and its incoming "
        "order was measured.",
        "cross-encoder failed in 1 of 8 searches; the first error: no time left",
        "cross-encoder read only the beginning of 3 of the 16 texts it scored.",
        "cross-encoder has no results for 1 of the 8 judged queries; those count as zero.",
        "Judged documents that the index lacks: 1 of 1; no search can find them.",
    ]
    assert cautions(evaluation(stage("first-stage", GOOD))) == []


def test_the_queries_that_changed_most_come_with_the_rank_of_the_first_relevant_hit() -> None:
    first = stage("first-stage", GOOD | {"q3": ["bad"]})
    last = stage("max-sim", GOOD | {"q1": ["bad", "good"], "q2": ["bad", "bad2"]})
    gained, lost = extremes(evaluation(first, last), last, first, "MRR@10")
    assert [(c.id, c.first_relevant_before, c.first_relevant_after) for c in gained] == [
        ("q3", None, 1)
    ]
    assert [(c.id, c.first_relevant_before, c.first_relevant_after) for c in lost] == [
        ("q2", 1, None),
        ("q1", 1, 2),
    ]


def test_the_page_shows_stages_verdicts_pictures_and_times() -> None:
    first = stage("first-stage", BAD, ms=[1.0, 3.0])
    html = page(evaluation(first, stage("max-sim", GOOD), total_ms=[2.0, 4.0]), first)
    assert html.count("<svg ") == 2
    assert "max-sim helps." in html
    assert "<td>2.0</td><td>2.9</td>" in html  # p50 and p95 of the first stage
    assert "whole search" in html


def test_the_page_is_one_valid_file_that_asks_for_nothing_else() -> None:
    first = stage("first-stage", BAD)
    html = page(evaluation(first, stage("max-sim", GOOD)), first)
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)  # XML namespaces are not fetched
    assert not re.search(r"""(src|href)="(?!#)|@import|https?://""", without_names)
    assert "<script" not in html
    Balanced(html)


def test_what_came_from_outside_is_escaped() -> None:
    bad_name = '<b>"$x$'
    first, last = stage("first-stage", BAD), stage(bad_name, GOOD)
    html = page(evaluation(first, last), first, title="<script>alert(1)</script>")
    assert "<script" not in html
    assert "<b>" not in html
    Balanced(html)


def test_a_run_without_a_baseline_gets_a_page_without_comparison() -> None:
    html = render_report(evaluation(stage("bm25", GOOD)), title="bm25")
    assert html.count("<svg ") == 1
    assert "Differences from" not in html


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, or in the wrong order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
