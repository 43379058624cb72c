"""A stage's weight and depth, chosen on dev queries from scores that were computed once.

The first stage searches once for each query (`find_candidates`) and each reranker scores each
candidate once, at the greatest depth. Every weight and depth is then ranked by the pipeline's own
`place`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType

from retrieve_rerank.base import Reranker, Scorer
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.calibration.calibrating import Scored
from retrieve_rerank.evaluation.evaluate import StageEvaluation, evaluate_rankings, latency
from retrieve_rerank.evaluation.files import Rankings
from retrieve_rerank.evaluation.judged_documents import JudgedDocuments, own_ids
from retrieve_rerank.evaluation.measures import parse_measures, score
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage, place
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.types import Hit, Qrels

PRIMARY = "nDCG@10"
"""What a stage is tuned for and judged by."""

JUDGED = "Judged@10"
"""Share of the ten best hits that have a judgment: how far the primary measure is to be believed
for a ranking that brings up other documents than those that were judged."""

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DEPTHS = (10, 20, 30, 50, 100, 200)


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting, and what it is worth."""

    weight: float
    depth: int
    value: float
    """Mean of the measure over the dev queries."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best setting of a stage on the dev queries."""

    weight: float
    depth: int
    value: float
    """Mean of the measure over the dev queries."""
    trials: Sequence[Trial]
    """All settings, in the order in which they were tried."""


class FoundCandidates:
    """The hits that come to a stage for every judged query; the index is no longer needed."""

    def __init__(
        self,
        judged: JudgedDocuments,
        queries: Mapping[str, str],
        qrels: Qrels,
        hits: Mapping[str, Sequence[Hit]],
        users: Mapping[str, str] = MappingProxyType({}),
        search_ms: Sequence[float] = (0.0,),
    ) -> None:
        """`search_ms` are the milliseconds that the searches took."""
        self.qrels = qrels
        self._search_ms = search_ms
        self._judged = judged
        self._queries = queries
        self._users = users
        self._hits = hits

    def scored(
        self,
        rerankers: Mapping[str, Reranker],
        *,
        depth: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> ScoredCandidates:
        """Have each reranker score the `depth` best hits of each query, all where None.

        `on_progress` hears of each query that has been dealt with. Raises InputError for rerankers
        whose scores depend on the other hits: theirs cannot be had once for all depths.
        """
        for name, reranker in rerankers.items():
            if not can_tune(reranker):
                raise InputError(
                    f"{name} does not score hits one by one; its depth cannot be tuned"
                )
        scored: dict[str, dict[str, Sequence[Hit]]] = {name: {} for name in rerankers}
        hit_ms: dict[str, list[float]] = {name: [] for name in rerankers}
        for query, hits in self._hits.items():
            head = hits[:depth]
            for name, reranker in rerankers.items():
                asked = reranker.for_user(self._queries[query], self._users.get(query, ""))
                started = time.perf_counter()
                scored[name][query] = reranker.rerank(asked, head).hits if head else []
                if head:
                    hit_ms[name].append(1000 * (time.perf_counter() - started) / len(head))
            if on_progress is not None:
                on_progress(1)
        most = max((len(hits) for hits in self._hits.values()), default=0)
        reach = most if depth is None else min(depth, most)
        return ScoredCandidates(
            self._judged, self.qrels, reach, self._hits, scored, self._search_ms, hit_ms
        )


class ScoredCandidates:
    """The hits that come to a stage, and what rerankers say of each, for every judged query."""

    def __init__(
        self,
        judged: JudgedDocuments,
        qrels: Qrels,
        depth: int,
        hits: Mapping[str, Sequence[Hit]],
        scored: Mapping[str, Mapping[str, Sequence[Hit]]],
        search_ms: Sequence[float],
        hit_ms: Mapping[str, Sequence[float]],
    ) -> None:
        """`search_ms` are the milliseconds that the searches took, `hit_ms` those that a reranker
        took for a hit, query by query."""
        self.qrels = qrels
        self.depth = depth
        """How many hits of each query were scored."""
        self._judged = judged
        self._hits = hits
        self._scored = scored  # reranker -> query -> its answer
        self._search_ms = search_ms
        self._hit_ms = hit_ms

    def rankings(self, stage: Stage | None, name: str = "") -> Rankings:
        """Rank every query as a Retriever with this stage would: ids as the judgments have them.

        `name` is what the stage's reranker was scored as; without a stage, hits as they came.
        """
        return {
            query: self._judged.ids(hits if stage is None else self._placed(stage, name, query))
            for query, hits in self._hits.items()
        }

    def evaluation(self, name: str, stage: Stage | None, scored_as: str = "") -> StageEvaluation:
        """Measure those rankings by PRIMARY and JUDGED, and call them `name`."""
        rankings = self.rankings(stage, scored_as)
        return evaluate_rankings(name, rankings, self.qrels, measures=[PRIMARY, JUDGED])

    def depth_within(self, ms: float, name: str) -> int:
        """Return how many hits, one at least, a reranker can score where 95 of 100 searches may
        take `ms` milliseconds at most, as searching and scoring went here."""
        if not self._hit_ms[name]:
            return 1
        left = ms - latency(self._search_ms).p95
        return max(1, int(left / latency(self._hit_ms[name]).p95))

    def judged_scores(self, name: str) -> list[Scored]:
        """Return each query's scores by a reranker, with what the judgments say: to calibrate."""
        return [
            Scored(
                [hit.score for hit in answer],
                [self.qrels[query].get(self._judged.id_of(hit.document), 0) > 0 for hit in answer],
            )
            for query, answer in self._scored[name].items()
        ]

    def _placed(self, stage: Stage, name: str, query: str) -> Sequence[Hit]:
        hits, answer = self._hits[query], self._scored[name][query]
        depth = len(hits) if stage.depth is None else stage.depth
        if min(depth, len(hits)) > self.depth:
            raise InputError(f"scores reach to depth {self.depth}; got {stage.depth}")
        head = {hit.document.id for hit in hits[:depth]}
        scored = [hit for hit in answer if hit.document.id in head]
        ranked = [replace(hit, rank=rank) for rank, hit in enumerate(scored, start=1)]
        return place(stage, ranked, hits)


def find_candidates(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    exclude_self: bool = False,
    users: Mapping[str, str] = MappingProxyType({}),
) -> FoundCandidates:
    """Search once for each judged query; `users` tell for queries what is known of who asks.

    `retriever` has the stages that come before the one that is tuned. Raises InputError where no
    judged query has a text, and as `JudgedDocuments` does.
    """
    asked = {query: queries[query] for query in qrels if query in queries}
    if not asked:
        raise InputError(f"none of the {len(qrels)} judged queries has a text")
    judged = JudgedDocuments(retriever.connector, qrels)
    own = own_ids(retriever.connector, asked) if exclude_self else {}
    found, search_ms = {}, []
    for query, text in asked.items():
        started = time.perf_counter()
        found[query] = retriever.search(
            text,
            top_k=retriever.candidates,
            on_error="raise",
            exclude=[own[query]] if query in own else [],
            user=users.get(query),
        ).hits
        search_ms.append(1000 * (time.perf_counter() - started))
    return FoundCandidates(judged, asked, qrels, found, users, search_ms)


def can_tune(reranker: Reranker) -> bool:
    """Whether a reranker's score of a hit depends on the query and that hit alone."""
    if isinstance(reranker, Scorer):
        return reranker.pointwise
    return isinstance(reranker, DatabaseMaxSim)


def tune(
    candidates: ScoredCandidates,
    reranker: Reranker,
    name: str,
    *,
    weights: Sequence[float] = WEIGHTS,
    depths: Sequence[int] = DEPTHS,
    measure: str = PRIMARY,
) -> Tuned:
    """Find the weight and depth of a stage that are worth most, on average, on these queries.

    `name` is what the reranker was scored as. Depths that no query has hits for are one: all that
    were scored. Of settings that are worth the same the shallowest is taken, and of those the one
    nearest to the reranker's own weight.
    """
    measures = parse_measures([measure])
    tried = sorted({min(depth, candidates.depth) for depth in depths})
    if not tried or not weights:
        raise InputError("expected at least one weight and one depth to try")
    trials = []
    for depth, weight in product(tried, weights):
        rankings = candidates.rankings(Stage(reranker, depth, weight), name)
        values = score(measures, candidates.qrels, rankings)[measures[0].name]
        trials.append(Trial(weight, depth, sum(values.values()) / len(values)))
    best = max(
        trials,
        key=lambda t: (round(t.value, 9), -t.depth, -abs(t.weight - reranker.default_weight)),
    )
    return Tuned(best.weight, best.depth, best.value, trials)
