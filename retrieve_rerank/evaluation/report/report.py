"""The evaluation as one HTML file that needs nothing else: words, tables, pictures.

Whatever came from outside (queries, ids, names) is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from retrieve_rerank.evaluation.compare import DRAWS, SIGNIFICANCE, Comparison, deltas
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation, latency
from retrieve_rerank.evaluation.report.findings import cautions, p_value, signed, tone, verdict
from retrieve_rerank.evaluation.report.pages import render_page
from retrieve_rerank.evaluation.report.plots import quality_by_depth, sorted_deltas
from retrieve_rerank.types import Qrels

EXTREMES = 10
"""Queries shown that gained most, and that lost most."""


@dataclass(frozen=True, slots=True)
class QueryChange:
    """One query before and after a stage."""

    id: str
    text: str
    before: float
    after: float
    first_relevant_before: int | None
    """Rank of the best placed relevant document; None where there is none."""
    first_relevant_after: int | None


def render_report(
    evaluation: Evaluation,
    *,
    title: str,
    baseline: StageEvaluation | None = None,
    comparisons: Sequence[Comparison] = (),
) -> str:
    """Return the page; `comparisons` are of the evaluation's stages with `baseline`."""
    headline = evaluation.measures[0]
    stages = list(evaluation.stages)
    if baseline is not None and all(stage is not baseline for stage in stages):
        stages.insert(0, baseline)
    compared = [stage for stage in evaluation.stages if comparisons and stage is not baseline]
    return render_page(
        "report.html",
        filters={"signed": signed, "p": p_value, "tone": tone},
        title=title,
        evaluation=evaluation,
        headline=headline,
        stages=stages,
        baseline=baseline,
        comparisons=comparisons,
        by_cell={(c.stage, c.measure): c for c in comparisons},
        best={m: max(stage.means[m] for stage in stages) for m in evaluation.measures},
        verdicts=[
            verdict(stage, baseline, [c for c in comparisons if c.stage == stage.name])
            for stage in compared
            if baseline is not None
        ],
        cautions=cautions(evaluation, baseline=baseline),
        depth_plot=Markup(quality_by_depth(stages, evaluation.qrels)),
        changes=[
            (
                stage,
                Markup(
                    sorted_deltas(
                        list(deltas(stage, baseline, headline).values()),
                        measure=headline,
                        title=f"{stage.name} against {baseline.name}",
                    )
                ),
                *extremes(evaluation, stage, baseline, headline),
            )
            for stage in compared
            if baseline is not None
        ],
        latencies=[
            (name, latency(ms))
            for name, ms in (
                *((stage.name, stage.ms) for stage in evaluation.stages),
                ("whole search", evaluation.total_ms),
            )
            if ms
        ],
        draws=DRAWS,
        significance=SIGNIFICANCE,
    )


def extremes(
    evaluation: Evaluation, stage: StageEvaluation, baseline: StageEvaluation, measure: str
) -> tuple[list[QueryChange], list[QueryChange]]:
    """Return the queries that gained most and those that lost most, at most EXTREMES each."""
    differences = deltas(stage, baseline, measure)
    ordered = sorted(differences, key=differences.__getitem__, reverse=True)

    def change(query: str) -> QueryChange:
        return QueryChange(
            id=query,
            text=evaluation.queries.get(query, ""),
            before=baseline.scores[measure][query],
            after=stage.scores[measure][query],
            first_relevant_before=_first_relevant(baseline, query, evaluation.qrels),
            first_relevant_after=_first_relevant(stage, query, evaluation.qrels),
        )

    gained = [change(q) for q in ordered[:EXTREMES] if differences[q] > 0]
    lost = [change(q) for q in reversed(ordered[-EXTREMES:]) if differences[q] < 0]
    return gained, lost


def _first_relevant(stage: StageEvaluation, query: str, qrels: Qrels) -> int | None:
    grades = qrels[query]
    ranking = enumerate(stage.rankings.get(query, ()), start=1)
    return next((rank for rank, document in ranking if grades.get(document, 0) > 0), None)
