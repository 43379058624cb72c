"""The evaluation in words: whether a stage helps or hurts, and what to mind in the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from retrieve_rerank.evaluation.compare import Comparison
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation
from retrieve_rerank.evaluation.judges import by_models

Tone: TypeAlias = Literal["better", "worse", "even"]

_NOTES_SHOWN = 5  # of each stage, the most frequent ones


@dataclass(frozen=True, slots=True)
class Verdict:
    """In words, what a stage does to the first measure."""

    tone: Tone
    claim: str
    evidence: str


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
    if first.wins == first.losses == 0:
        value = f"{first.measure} is {stage.means[first.measure]:.4f} as for {baseline.name}"
        return Verdict("even", f"{stage.name} changes nothing.", f"{value}, query by query.")
    claim = {
        "better": f"{stage.name} helps.",
        "worse": f"{stage.name} hurts.",
        "even": f"{stage.name} makes no demonstrable difference.",
    }[tone(first)]
    moves = "rises" if first.delta > 0 else "falls" if first.delta < 0 else "goes"
    evidence = [
        f"{first.measure} {moves} from {baseline.means[first.measure]:.4f} ({baseline.name}) to "
        f"{stage.means[first.measure]:.4f} ({signed(first.delta)}): "
        f"better on {first.wins:,}, worse on {first.losses:,}, equal on {first.ties:,} of the "
        "queries.",
        {
            "better": f"Luck alone would hardly do that (p {p_value(first.p_holm)}).",
            "worse": f"Luck alone would hardly do that (p {p_value(first.p_holm)}): as it is, this "
            "stage is better left out.",
            "even": f"With these queries it may be luck (p {p_value(first.p_holm)}).",
        }[tone(first)],
    ]
    harmed = [c.measure for c in comparisons[1:] if tone(c) == "worse"]
    if harmed and tone(first) != "worse":
        evidence.append(f"But it lowers {', '.join(harmed)}.")
    return Verdict(tone(first), claim, " ".join(evidence))


def cautions(evaluation: Evaluation, *, baseline: StageEvaluation | None = None) -> list[str]:
    """List what a reader must know before believing the numbers; empty when there is nothing."""
    found = []
    if evaluation.judges:
        found.append(f"Relevance is by {by_models(evaluation.judges)}.")
    if count := evaluation.degraded_searches:
        found.append(
            f"Degraded searches: {count:,} of {len(evaluation.queries):,}; a stage failed or ran "
            "out of time there, and its incoming order was measured."
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
                f"{stage.scored:,} texts it scored."
            )
        found += [
            f"{stage.name}, in {count:,} of {len(stage.ms):,} searches: {note}."
            for note, count in list(stage.notes.items())[:_NOTES_SHOWN]
        ]
        if len(stage.notes) > _NOTES_SHOWN:
            found.append(f"{stage.name} noted {len(stage.notes) - _NOTES_SHOWN:,} more.")
    for stage in (*evaluation.stages, *([baseline] if baseline is not None else [])):
        if stage.unanswered > evaluation.textless_queries:
            caution = (
                f"{stage.name} has no results for {stage.unanswered:,} of the "
                f"{len(evaluation.qrels):,} judged queries; those count as zero."
            )
            found += [caution] if caution not in found else []
    if count := evaluation.own_documents:
        found.append(own_documents(count, len(evaluation.qrels)))
    if count := evaluation.textless_queries:
        found.append(
            f"Judged queries without a text: {count:,} of {len(evaluation.qrels):,}; they count "
            "as zero."
        )
    if count := evaluation.absent_documents:
        found.append(
            f"Judged documents that the index lacks: {count:,} of "
            f"{evaluation.judged_documents:,}; no search can find them."
        )
    return found


def own_documents(count: int, queries: int) -> str:
    """Say that queries met themselves among the documents."""
    return (
        f"{count:,} of the {queries:,} queries found a document of their own id, which counts as a "
        "wrong hit; where that is the query itself, --exclude-self leaves it out."
    )


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{value:+.4f}".replace("-", "−")


def p_value(p: float) -> str:
    """Write what p equals, or what it lies below."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
