"""Search results as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.types import Hit, SearchResult, StageReport


def result_as_json(result: SearchResult, *, stages: Sequence[Stage] = ()) -> dict[str, Any]:
    """Say everything about a result: its hits, what each stage did and how it ranked them.

    `stages` are those that made it, which may know how likely each hit is to be relevant.
    """
    placed = stage_hits(result)
    likely = _probabilities(result, stages)
    return {
        "query": result.query,
        "degraded": result.degraded,
        "query_truncated": result.query_truncated,
        "hits": [_hit(hit, placed[hit.document.id], likely.get(hit.document.id)) for hit in result],
        "stages": [_stage(stage) for stage in result.stages],
    }


def stage_hits(result: SearchResult) -> dict[str, dict[str, Hit]]:
    """Map each hit's id to what it was after each stage; a stage's second use becomes name-2."""
    placed: dict[str, dict[str, Hit]] = {hit.document.id: {} for hit in result}
    used: list[str] = []
    for stage in result.stages:
        used.append(stage.name)
        count = used.count(stage.name)
        name = stage.name if count == 1 else f"{stage.name}-{count}"
        for hit in stage.hits:
            if hit.document.id in placed:
                placed[hit.document.id][name] = hit
    return placed


def _probabilities(result: SearchResult, stages: Sequence[Stage]) -> dict[str, float]:
    """Map ids to the probability of relevance that the last stage with a calibration gives."""
    for report, stage in reversed(list(zip(result.stages[1:], stages, strict=False))):
        if stage.reranker.probabilities([]) is None:
            continue
        scored = report.hits[: report.scored]
        found = stage.reranker.probabilities(stage.own_scores(scored)) if scored else None
        if found is not None:
            return {hit.document.id: p for hit, p in zip(scored, found, strict=True)}
    return {}


def _hit(hit: Hit, placed: dict[str, Hit], probability: float | None) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "score": hit.score,
        **({} if probability is None else {"probability": probability}),
        "id": hit.document.id,
        "title": hit.document.title,
        "text": hit.document.text,
        "metadata": dict(hit.document.metadata),
        "ranks": {stage: was.rank for stage, was in placed.items()},
        "scores": {stage: was.score for stage, was in placed.items()},
        "sources": {name: placed._asdict() for name, placed in hit.sources.items()},
    }


def _stage(stage: StageReport) -> dict[str, Any]:
    return {
        "name": stage.name,
        "ms": round(stage.ms, 3),
        "candidates": stage.candidates,
        "scored": stage.scored,
        "truncated": stage.truncated,
        "query_truncated": stage.query_truncated,
        "cache_hits": stage.cache_hits,
        "error": stage.error,
        "notes": list(stage.notes),
    }
