"""The report of a trained model, one HTML file: verdict, curve, tables, slices, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from markupsafe import Markup

from retrieve_rerank.evaluation.bootstrap import bootstrap
from retrieve_rerank.evaluation.compare import DRAWS, deltas, randomisation_test
from retrieve_rerank.evaluation.evaluate import Evaluation, StageEvaluation
from retrieve_rerank.evaluation.files import write_text
from retrieve_rerank.evaluation.report.findings import p_value, signed
from retrieve_rerank.evaluation.report.pages import render_page
from retrieve_rerank.evaluation.report.plots import learning_curve, sorted_deltas
from retrieve_rerank.evaluation.report.report import QueryChange, extremes
from retrieve_rerank.training.doubtful import Doubtful
from retrieve_rerank.training.gate import Verdict
from retrieve_rerank.training.trainers.result import CurvePoint
from retrieve_rerank.training.tuning import JUDGED, PRIMARY, Tuned
from retrieve_rerank.types import Qrels

EXAMPLES = 5
"""Queries shown that gained most, and that lost most."""

_TOP = 3
_SHOWN = 240  # characters of a text


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trained model, and what it is worth on the held-out queries."""

    name: str
    index: str
    """The index's address, free of secrets."""
    verdict: Verdict
    systems: Sequence[StageEvaluation]
    """The pipelines that were measured, the trained model's last."""
    baseline: StageEvaluation
    """That of them which the verdict compares with."""
    queries: Mapping[str, str]
    qrels: Qrels
    tuned: Tuned
    """The trained model's weight and depth."""
    curve: Sequence[CurvePoint] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """Document, as the judgments name it -> its text, of those that examples show."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it was trained on and how, in the order in which it is told."""
    doubtful: Doubtful | None = None
    """Training positives that are probably wrong; None where they were not looked for."""
    notes: Sequence[str] = ()
    """What to mind, a sentence each."""
    folds: int = 0
    """Over how many folds the procedure was judged; 0 where this model itself was."""

    @property
    def trained(self) -> StageEvaluation:
        """The pipeline with the trained model."""
        return self.systems[-1]

    def examples(self) -> tuple[list[Example], list[Example]]:
        """Return the queries that gained most and those that lost most."""
        return examples(
            self.systems,
            self.baseline,
            queries=self.queries,
            qrels=self.qrels,
            texts=self.texts,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One pipeline in the table of the held-out queries."""

    name: str
    value: float
    judged: float
    gain: float | None
    """Mean paired difference from the baseline; None for the baseline itself."""
    low: float | None
    """The gain's 95 % confidence interval."""
    high: float | None
    p: float | None
    """Of the paired randomisation test, two-sided."""


@dataclass(frozen=True, slots=True)
class Place:
    """A document in one of an example's rankings."""

    text: str
    relevant: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A query, and its best hits before and after."""

    change: QueryChange
    before: Sequence[Place]
    after: Sequence[Place]


def comparison(systems: Sequence[StageEvaluation], baseline: StageEvaluation) -> list[Row]:
    """Compare pipelines with the baseline on the primary measure."""
    rows = []
    for system in systems:
        value, judged = system.means[PRIMARY], system.means[JUDGED]
        if system is baseline:
            rows.append(Row(system.name, value, judged, None, None, None, None))
            continue
        differences = list(deltas(system, baseline, PRIMARY).values())
        low, high = bootstrap(differences, draws=DRAWS, widened=True)
        p = randomisation_test(differences)
        rows.append(Row(system.name, value, judged, fmean(differences), low, high, p))
    return rows


def examples(
    systems: Sequence[StageEvaluation],
    baseline: StageEvaluation,
    *,
    queries: Mapping[str, str],
    qrels: Qrels,
    texts: Mapping[str, str],
) -> tuple[list[Example], list[Example]]:
    """Return the queries that gained most and those that lost most, with their best hits.

    They are compared in the last of `systems` and the baseline.
    """
    trained = systems[-1]
    evaluation = Evaluation(qrels, queries, [PRIMARY, JUDGED], list(systems))
    gained, lost = extremes(evaluation, trained, baseline, PRIMARY)

    def best(system: StageEvaluation, query: str) -> list[Place]:
        ids = system.rankings.get(query, ())[:_TOP]
        grades = qrels[query]
        return [Place(_short(texts.get(id_, id_)), grades.get(id_, 0) > 0) for id_ in ids]

    def example(change: QueryChange) -> Example:
        return Example(change, best(baseline, change.id), best(trained, change.id))

    return [example(each) for each in gained[:EXAMPLES]], [
        example(each) for each in lost[:EXAMPLES]
    ]


def shown_documents(systems: Sequence[StageEvaluation]) -> set[str]:
    """Return the documents whose texts examples may show: the best few of every query."""
    return {id_ for system in systems for ids in system.rankings.values() for id_ in ids[:_TOP]}


def write_report(path: Path, outcome: Outcome) -> None:
    """Write the page; raise InputError where that fails."""
    write_text(path, render_outcome(outcome))


def render_outcome(outcome: Outcome) -> str:
    """Return the page."""
    gained, lost = outcome.examples()
    differences = list(deltas(outcome.trained, outcome.baseline, PRIMARY).values())
    weights = sorted({trial.weight for trial in outcome.tuned.trials})
    depths = sorted({trial.depth for trial in outcome.tuned.trials})
    return render_page(
        "promotion.html",
        filters={"signed": signed, "p": p_value, "short": _short},
        title=f"{outcome.name} on {outcome.index}",
        outcome=outcome,
        verdict=outcome.verdict,
        rows=comparison(outcome.systems, outcome.baseline),
        primary=PRIMARY,
        judged=JUDGED,
        curve=Markup(learning_curve([(p.step, p.loss, p.measure) for p in outcome.curve]))
        if len(outcome.curve) > 1
        else None,
        plot=Markup(
            sorted_deltas(
                differences,
                measure=PRIMARY,
                title=f"{outcome.trained.name} against {outcome.baseline.name}",
            )
        ),
        weights=weights,
        depths=depths,
        by_setting={(t.weight, t.depth): t.value for t in outcome.tuned.trials},
        examples=(("Gained most", gained), ("Lost most", lost)),
        draws=DRAWS,
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN].rstrip()}…"
