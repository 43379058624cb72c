"""The held-out queries, through the retriever that serves: before, at its best, and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from retrieve_rerank.base import Connector, Scorer
from retrieve_rerank.evaluation.evaluate import (
    Evaluation,
    evaluate,
    evaluate_rankings,
    latency,
)
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.finetuning.placing import Place, with_place
from retrieve_rerank.training.gate import Verdict, judge
from retrieve_rerank.training.held_out import HeldOut, shown_documents
from retrieve_rerank.training.slices import Change, query_slices
from retrieve_rerank.training.tuning import JUDGED, PRIMARY
from retrieve_rerank.types import Qrels

MEASURES = (PRIMARY, "RR@10", "R@100", JUDGED)

FIRST, TODAY, RETUNED, TUNED = "first stage", "today", "today, re-tuned", "fine-tuned"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the held-out queries say."""

    verdict: Verdict
    held_out: HeldOut
    p95_ms: Mapping[str, float]
    """Pipeline -> what 95 of 100 whole searches take at most."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "verdict": self.verdict.to_dict(),
            "systems": [
                {
                    "name": system.name,
                    "measures": dict(system.means),
                    "p95_ms": self.p95_ms.get(system.name),
                    "errors": dict(system.errors),
                    "per_query": {name: dict(each) for name, each in system.scores.items()},
                }
                for system in self.held_out.systems
            ],
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """Held-out queries as each pipeline answered them; JSON has it as it is."""

    rankings: dict[str, dict[str, list[str]]]
    """System -> query -> documents, as the judgments name them."""
    errors: dict[str, dict[str, str]]
    """Pipeline -> query -> why a stage left the order as it was."""
    total_ms: dict[str, list[float]]
    """Pipeline -> milliseconds of each whole search."""


def measure(
    today: Retriever,
    scorer: Scorer,
    place: Place,
    todays_place: Place | None,
    queries: Mapping[str, str],
    test: Qrels,
    *,
    exclude_self: bool = False,
    users: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[int], None] | None = None,
) -> Measured:
    """Search for every held-out query with each pipeline; raise as `evaluate` does.

    Today's has its place re-tuned on the dev queries that the trained model's was chosen on; where
    it cannot be re-tuned it is searched with once.
    """

    def answers(pipeline: Retriever) -> Evaluation:
        return evaluate(
            pipeline,
            queries,
            test,
            measures=MEASURES,
            exclude_self=exclude_self,
            users=users,
            on_progress=on_progress,
        )

    measured = {TODAY: answers(today)}
    measured[RETUNED] = (
        answers(with_place(today, todays_place)) if todays_place else measured[TODAY]
    )
    measured[TUNED] = answers(with_place(today, place, scorer))
    stages = {FIRST: measured[TODAY].stages[0]}
    stages |= {name: its.stages[-1] for name, its in measured.items()}
    return Measured(
        rankings={
            name: {query: list(ids) for query, ids in stage.rankings.items()}
            for name, stage in stages.items()
        },
        errors={name: its.errors for name, its in measured.items()},
        total_ms={name: list(its.total_ms) for name, its in measured.items()},
    )


def pool(parts: Sequence[Measured]) -> Measured:
    """Put together what was measured of different queries."""
    first = parts[0]
    return Measured(
        rankings={
            name: {query: ids for part in parts for query, ids in part.rankings[name].items()}
            for name in first.rankings
        },
        errors={
            name: {query: why for part in parts for query, why in part.errors[name].items()}
            for name in first.errors
        },
        total_ms={
            name: [ms for part in parts for ms in part.total_ms[name]] for name in first.total_ms
        },
    )


def prove(
    measured: Measured,
    connector: Connector,
    queries: Mapping[str, str],
    test: Qrels,
    *,
    others: Mapping[str, Change] | None = None,
    failures: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    segments: Mapping[str, str] | None = None,
    min_gain: float = 0.0,
    max_p95_ms: float | None = None,
) -> Proof:
    """Judge the difference between today's pipeline, re-tuned, and the trained model's.

    `others` are what became of other collections, which must not lose, and `failures` of their
    searches bar promotion as those of the held-out queries do; nor must any of the `segments`,
    query -> segment, lose. `connector` has the texts of the documents that are shown. Raises as
    `judge` does.
    """
    systems = [
        replace(
            evaluate_rankings(name, rankings, test, measures=MEASURES),
            errors=measured.errors.get(name, {}),
        )
        for name, rankings in measured.rankings.items()
    ]
    retuned = measured.rankings[RETUNED] != measured.rankings[TODAY]
    compared = (TODAY, RETUNED, TUNED) if retuned else (RETUNED, TUNED)
    verdict = judge(
        measured.rankings[RETUNED],
        measured.rankings[TUNED],
        test,
        served=measured.rankings[TODAY] if retuned else None,
        min_gain=min_gain,
        slices={**query_slices({q: queries[q] for q in test}), **_by_segment(segments or {})},
        others=others,
        latency=latency(measured.total_ms[TUNED]),
        max_p95_ms=max_p95_ms,
        failures={**{name: measured.errors[name] for name in compared}, **failures},
    )
    p95 = {name: latency(ms).p95 for name, ms in measured.total_ms.items()}
    shown = connector.get(sorted(shown_documents(systems)))
    texts = {document.id: Template().render(document) for document in shown}
    baseline = next(system for system in systems if system.name == RETUNED)
    return Proof(verdict, HeldOut(systems, baseline, queries, test, texts), p95)


def _by_segment(segments: Mapping[str, str]) -> dict[str, list[str]]:
    slices: dict[str, list[str]] = {}
    for query, segment in segments.items():
        slices.setdefault(f"segment {segment}", []).append(query)
    return slices
