"""Where in the pipeline the trained model stands, and today's pipeline at its best: both on dev."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from retrieve_rerank.base import Scorer
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.training.tuning import (
    DEPTHS,
    FoundCandidates,
    Trial,
    Tuned,
    can_tune,
    find_candidates,
    tune,
)
from retrieve_rerank.types import Qrels

_TRAINED, _TODAY = "trained", "today"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reranker stands, and what that is worth on the dev queries."""

    kept: int
    """How many of today's stages stay before it."""
    tuned: Tuned
    """Its depth and weight."""
    deepest: int | None = None
    """How many hits fit into what a search may take; None where there is no bound."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Place:
        """Read what `asdict` made of one."""
        tuned = values["tuned"]
        trials = [Trial(**trial) for trial in tuned["trials"]]
        return cls(values["kept"], Tuned(**{**tuned, "trials": trials}), values.get("deepest"))


def find_dev_candidates(
    today: Retriever,
    queries: Mapping[str, str],
    dev: Qrels,
    *,
    exclude_self: bool = False,
    users: Mapping[str, str] = MappingProxyType({}),
) -> dict[int, FoundCandidates]:
    """Return how many of today's stages stay -> the hits that then come to the trained model.

    None stay, or those at the beginning that the index itself computes, which cost next to nothing.
    """
    return {
        kept: find_candidates(
            Retriever(today.connector, *today.stages[:kept], candidates=today.candidates),
            queries,
            dev,
            exclude_self=exclude_self,
            users=users,
        )
        for kept in sorted({0, in_index(today.stages)})
    }


def place(
    scorer: Scorer,
    candidates: Mapping[int, FoundCandidates],
    *,
    depth: int,
    max_p95_ms: float | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Place:
    """Choose the stages before the trained model, its depth and weight, by the dev measure.

    With `max_p95_ms` no deeper than 95 of 100 searches within so many milliseconds can go. Of
    places that are worth the same it is the one after fewer stages.
    """
    places = []
    for kept, found in candidates.items():
        scored = found.scored({_TRAINED: scorer}, depth=depth, on_progress=on_progress)
        deepest = None if max_p95_ms is None else scored.depth_within(max_p95_ms, _TRAINED)
        depths = [each if deepest is None else min(each, deepest) for each in DEPTHS]
        places.append(Place(kept, tune(scored, scorer, _TRAINED, depths=depths), deepest))
    return max(places, key=lambda each: (round(each.tuned.value, 9), -each.kept))


def retuned(
    today: Retriever,
    queries: Mapping[str, str],
    dev: Qrels,
    *,
    depth: int | None = None,
    exclude_self: bool = False,
    users: Mapping[str, str] = MappingProxyType({}),
) -> Place | None:
    """Tune depth, of at most `depth` hits, and weight of today's last stage on the dev queries.

    None where there is no stage, or its scores depend on the other hits.
    """
    if not today.stages or not can_tune(today.stages[-1].reranker):
        return None
    *before, last = today.stages
    found = find_candidates(
        Retriever(today.connector, *before, candidates=today.candidates),
        queries,
        dev,
        exclude_self=exclude_self,
        users=users,
    )
    tuned = tune(found.scored({_TODAY: last.reranker}, depth=depth), last.reranker, _TODAY)
    return Place(len(before), tuned)


def with_place(today: Retriever, place: Place, scorer: Scorer | None = None) -> Retriever:
    """Make the pipeline in which a reranker, else today's last, stands at its place.

    Whatever else is set of today's stays, so that all are measured as they would serve.
    """
    tuned, kept = place.tuned, today.stages[: place.kept]
    last = Stage(scorer) if scorer is not None else today.stages[-1]
    stage = replace(last, depth=tuned.depth, weight=tuned.weight)
    return Retriever(
        today.connector,
        *kept,
        stage,
        candidates=today.candidates,
        top_k=today.top_k,
        deadline_s=today.deadline_s,
    )


def in_index(stages: Sequence[Stage]) -> int:
    """Count the stages at the beginning that the index itself computes."""
    count = 0
    while count < len(stages) and isinstance(stages[count].reranker, DatabaseMaxSim):
        count += 1
    return count
