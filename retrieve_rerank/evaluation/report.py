"""The evaluation as one HTML file that needs nothing else: words, tables, pictures.

Knows nothing of searching or measuring. Whatever came from outside (queries, ids, names) is
escaped by the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from retrieve_rerank.evaluation.compare import DRAWS, SIGNIFICANCE, Comparison, deltas
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation, latency
from retrieve_rerank.evaluation.plots import quality_by_depth, sorted_deltas
from retrieve_rerank.types import Qrels

EXTREMES = 10
"""Queries shown that gained most, and that lost most."""

Tone = Literal["better", "worse", "even"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """In words, what a stage does to the first measure."""

    tone: Tone
    claim: str
    evidence: str


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
    if baseline is not None and baseline not in stages:
        stages.insert(0, baseline)
    compared = [stage for stage in stages if any(c.stage == stage.name for c in comparisons)]
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template.filters.update(signed=_signed, p=_p, tone=tone)
    return template.from_string(_template()).render(
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
        cautions=cautions(evaluation),
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


def tone(comparison: Comparison | None) -> Tone:
    """Say whether a difference is one, and which way."""
    if comparison is None or not comparison.significant:
        return "even"
    return "better" if comparison.delta > 0 else "worse"


def verdict(
    stage: StageEvaluation, baseline: StageEvaluation, comparisons: Sequence[Comparison]
) -> Verdict:
    """Put into words what the stage does; `comparisons` are its own, the first leads."""
    first = comparisons[0]
    claim = {
        "better": f"{stage.name} helps.",
        "worse": f"{stage.name} hurts.",
        "even": f"{stage.name} makes no demonstrable difference.",
    }[tone(first)]
    moves = "rises" if first.delta > 0 else "falls" if first.delta < 0 else "goes"
    evidence = [
        f"{first.measure} {moves} from {baseline.means[first.measure]:.4f} ({baseline.name}) to "
        f"{stage.means[first.measure]:.4f} ({_signed(first.delta)}): "
        f"better on {first.wins:,} queries, worse on {first.losses:,}, equal on {first.ties:,}.",
        {
            "better": f"Luck alone would hardly do that (p {_p(first.p_holm)}).",
            "worse": f"That is more than bad luck (p {_p(first.p_holm)}): better not served as is.",
            "even": f"With these queries it may be luck (p {_p(first.p_holm)}).",
        }[tone(first)],
    ]
    harmed = [c.measure for c in comparisons[1:] if tone(c) == "worse"]
    if harmed and tone(first) != "worse":
        evidence.append(f"But it lowers {', '.join(harmed)}.")
    return Verdict(tone(first), claim, " ".join(evidence))


def cautions(evaluation: Evaluation) -> list[str]:
    """List what a reader must know before believing the numbers; empty when there is nothing."""
    found = []
    if count := evaluation.degraded_searches:
        found.append(
            f"{count:,} of {len(evaluation.queries):,} searches were degraded: a stage failed or "
            "ran out of time, and its incoming order was measured."
        )
    for stage in evaluation.stages:
        if stage.errors:
            error = next(iter(stage.errors.values()))
            found.append(
                f"{stage.name} failed in {len(stage.errors):,} of {len(stage.ms):,} searches; "
                f"the first error: {error}"
            )
        if stage.truncated:
            found.append(
                f"{stage.name} read only the beginning of {stage.truncated:,} of the "
                f"{stage.scored:,} texts it judged."
            )
        if stage.unanswered > evaluation.textless_queries:
            found.append(
                f"{stage.name} returned nothing for {stage.unanswered:,} judged queries; "
                "they count as zero."
            )
    if count := evaluation.textless_queries:
        found.append(
            f"{count:,} of {len(evaluation.qrels):,} judged queries have no text among the "
            "queries; they count as zero."
        )
    if count := evaluation.absent_documents:
        found.append(
            f"{count:,} of {evaluation.judged_documents:,} judged documents are not in the "
            "index; no search can find them."
        )
    return found


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


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _template() -> str:
    return files(__package__).joinpath("report.html").read_text(encoding="utf-8")
