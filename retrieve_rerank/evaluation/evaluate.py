"""One search for each judged query, and what each stage's ranking is worth.

The searches go through the Retriever that serves: a stage that fails leaves the incoming order
there, so it does here, and is counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments, own_ids
from retrieve_rerank.evaluation.measures import (
    DEFAULT_MEASURES,
    Measure,
    Scores,
    parse_measures,
    score,
)
from retrieve_rerank.pipeline.retriever import FIRST_STAGE, Retriever
from retrieve_rerank.types import Qrels, StageReport


class Latency(NamedTuple):
    """Milliseconds that half of the searches stayed below, and 95 of 100."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class StageEvaluation:
    """What one ranking of every query is worth: a stage's, or a run file's."""

    name: str
    rankings: Rankings = field(repr=False)
    """Those of the judged queries; a query without results is absent."""
    scores: Scores = field(repr=False)
    """Measure -> judged query -> value."""
    means: Mapping[str, float]
    """Measure -> mean over the judged queries (the sum for counts such as NumRet)."""
    ms: Sequence[float] = field(default=(), repr=False)
    """Milliseconds that the stage took in each search; empty for a run file."""
    scored: int = 0
    """Texts that the stage scored, over all searches."""
    truncated: int = 0
    """Texts of which its model read only the beginning."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Query -> why the stage left the incoming order there."""
    truncated_queries: int = 0
    """Queries of which its model read only the beginning."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """What its reports noted -> in how many searches."""

    @property
    def unanswered(self) -> int:
        """Judged queries without results; they count as zero."""
        return sum(1 for query in next(iter(self.scores.values())) if query not in self.rankings)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The stages of a pipeline on the judged queries."""

    qrels: Qrels = field(repr=False)
    queries: Mapping[str, str] = field(repr=False)
    """Judged query -> its text, for those that have one."""
    measures: Sequence[str]
    stages: Sequence[StageEvaluation]
    total_ms: Sequence[float] = field(default=(), repr=False)
    """Milliseconds of each whole search; empty for a run file."""
    absent_documents: int = 0
    """Judged documents that the index does not hold: no search can find them."""
    textless_queries: int = 0
    """Judged queries without a text: not searched for, they count as zero."""
    judges: Mapping[str, int] = field(default_factory=dict)
    """Language models that gave judgments, and how many; empty where people gave all."""

    @property
    def judged_documents(self) -> int:
        """Documents judged for any query."""
        return len({id_ for grades in self.qrels.values() for id_ in grades})

    @property
    def own_documents(self) -> int:
        """Queries that found a document of their own id which is not judged relevant to them."""
        return sum(
            self.qrels[query].get(query, 0) <= 0
            and any(query in stage.rankings.get(query, ()) for stage in self.stages)
            for query in self.qrels
        )

    @property
    def errors(self) -> dict[str, str]:
        """Query -> why a stage failed, ran out of time or was skipped, the last of several."""
        return {query: why for stage in self.stages for query, why in stage.errors.items()}

    @property
    def degraded_searches(self) -> int:
        """Searches in which any stage failed, ran out of time or was skipped."""
        return len(self.errors)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the rankings as plain JSON values."""
        return {
            "queries": len(self.qrels),
            "textless_queries": self.textless_queries,
            "judges": dict(self.judges),
            "judged_documents": self.judged_documents,
            "absent_documents": self.absent_documents,
            "degraded_searches": self.degraded_searches,
            "own_documents": self.own_documents,
            "ms": _latency_dict(self.total_ms),
            "stages": [
                {
                    "name": stage.name,
                    "measures": dict(stage.means),
                    "ms": _latency_dict(stage.ms),
                    "unanswered": stage.unanswered,
                    "scored": stage.scored,
                    "truncated": stage.truncated,
                    "truncated_queries": stage.truncated_queries,
                    "notes": dict(stage.notes),
                    "errors": dict(stage.errors),
                    "per_query": {name: dict(values) for name, values in stage.scores.items()},
                }
                for stage in self.stages
            ],
        }


def evaluate(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    measures: Sequence[str] = DEFAULT_MEASURES,
    top_k: int | None = None,
    deadline_s: float | None = None,
    exclude_self: bool = False,
    users: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Search once for each judged query and measure the ranking that left each stage.

    `top_k` keeps the first hits of each ranking, all candidates where None. Passages that a
    document was split into stand for it, the best one giving its place, unless passages are what
    was judged, see `JudgedDocuments`. `exclude_self` leaves out the document that has the query's
    own id, as BEIR does where queries were taken from the documents. `users` tell for queries what
    is known of who asks. Rankings name documents as the judgments do, which may leave out which
    index of several they are of. Milliseconds are of searches one after another, the first of
    which includes what is loaded on first use.
    `on_progress` hears how many searches ended since it was last called. Raises InputError where
    no judged query has a text, and as `JudgedDocuments` does.
    """
    parsed = parse_measures(measures)
    searched = {query: queries[query] for query in qrels if query in queries}
    if not searched:
        raise InputError(
            f"none of the {len(qrels)} judged queries is among the {len(queries)} queries: "
            f"judged is {next(iter(qrels))!r}, given {next(iter(queries), None)!r}"
        )
    judged = JudgedDocuments(retriever.connector, qrels)
    tallies = {name: _Tally() for name in stage_names(retriever)}
    own = own_ids(retriever.connector, searched) if exclude_self else {}
    total_ms: list[float] = []
    for query, text in searched.items():
        started = time.perf_counter()
        exclude = [own[query]] if query in own else []
        reports = retriever.search(
            text, deadline_s=deadline_s, exclude=exclude, user=users.get(query)
        ).stages
        total_ms.append((time.perf_counter() - started) * 1000)
        for tally, report in zip(tallies.values(), reports, strict=True):
            tally.add(query, report, judged.ids(report.hits)[:top_k])
        if on_progress is not None:
            on_progress(1)
    return Evaluation(
        qrels=qrels,
        queries=searched,
        measures=[measure.name for measure in parsed],
        stages=[_measured(name, tally, qrels, parsed) for name, tally in tallies.items()],
        total_ms=total_ms,
        absent_documents=judged.absent,
        textless_queries=len(qrels) - len(searched),
    )


def evaluate_rankings(
    name: str,
    rankings: Rankings,
    qrels: Qrels,
    *,
    measures: Sequence[str] = DEFAULT_MEASURES,
    top_k: int | None = None,
    exclude_self: bool = False,
) -> StageEvaluation:
    """Measure rankings that were made elsewhere; raise InputError where no judged query has any.

    `exclude_self` leaves out the document that has the query's own id; `top_k` then keeps the
    first hits of each ranking.
    """
    rankings = {
        query: [id_ for id_ in ids if not (exclude_self and id_ == query)][:top_k]
        for query, ids in rankings.items()
    }
    if not any(rankings.get(query) for query in qrels):
        raise InputError(
            f"{name} answers none of the {len(qrels)} judged queries: judged is "
            f"{next(iter(qrels))!r}, answered {next(iter(rankings), None)!r}"
        )
    return _measured(name, _Tally(dict(rankings)), qrels, parse_measures(measures))


def stage_names(retriever: Retriever) -> list[str]:
    """Name the retriever's stages, the first stage first; a name's second use becomes name-2."""
    names = [FIRST_STAGE, *(stage.reranker.name for stage in retriever.stages)]
    return [
        f"{name}-{names[:i].count(name) + 1}" if name in names[:i] else name
        for i, name in enumerate(names)
    ]


def latency(ms: Sequence[float]) -> Latency:
    """Return the 50th and 95th percentile, linearly interpolated; `ms` must not be empty."""
    p50, p95 = np.percentile(ms, (50, 95))
    return Latency(float(p50), float(p95))


@dataclass(slots=True)
class _Tally:
    """What is kept of a stage's reports: ids, not texts, so that memory stays small."""

    rankings: dict[str, Sequence[str]] = field(default_factory=dict)
    ms: list[float] = field(default_factory=list)
    scored: int = 0
    truncated: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    truncated_queries: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, query: str, report: StageReport, ranking: Sequence[str]) -> None:
        self.rankings[query] = ranking
        self.ms.append(report.ms)
        self.scored += report.scored
        self.truncated += report.truncated
        self.truncated_queries += report.query_truncated
        self.notes.update(report.notes)
        if report.error is not None:
            self.errors[query] = report.error


def _measured(
    name: str, tally: _Tally, qrels: Qrels, measures: Sequence[Measure]
) -> StageEvaluation:
    rankings = {query: tally.rankings[query] for query in qrels if tally.rankings.get(query)}
    scores = score(measures, qrels, rankings)
    return StageEvaluation(
        name=name,
        rankings=rankings,
        scores=scores,
        means={measure.name: measure.total(scores[measure.name].values()) for measure in measures},
        ms=tally.ms,
        scored=tally.scored,
        truncated=tally.truncated,
        errors=tally.errors,
        truncated_queries=tally.truncated_queries,
        notes=dict(tally.notes.most_common()),
    )


def _latency_dict(ms: Sequence[float]) -> dict[str, float] | None:
    return latency(ms)._asdict() if ms else None
