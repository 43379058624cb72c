"""What the adapters for frameworks share: hits of their documents, and what is told of a search."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from retrieve_rerank.base import Reranker
from retrieve_rerank.connecting import stage_for
from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.cascade import Cascade
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.types import Document, Hit, SearchResult, StageReport

PROVENANCE = ("relevance_score", "first_stage_rank", "first_stage_score")
"""Metadata that a document gains: the score that ordered it, and where it stood before, from 1."""

_OF_STAGE = tuple(each.name for each in fields(StageReport) if each.name != "hits")


def cascade_of(reranker: object, model: str | None, options: Mapping[str, Any]) -> Cascade:
    """Make what reranks: a Reranker or a Stage that is there, or one by its name or its model's.

    Its scores alone make the order, unless a stage or an option says otherwise: what documents
    are given with may be on any scale. Raises ConfigError, InputError and ModelError.
    """
    if reranker is None or isinstance(reranker, str):
        return Cascade(stage_for(model, reranker, {"weight": 1.0, **options}))
    if not isinstance(reranker, Reranker | Stage):
        kind = type(reranker).__name__
        raise InputError(f"expected a Reranker, a Stage, or a reranker's name; got {kind}")
    if model is not None or options:
        raise InputError("model and options are for a reranker given by its name")
    return Cascade(reranker if isinstance(reranker, Stage) else Stage(reranker, weight=1.0))


def as_hits(given: Iterable[tuple[Document, float | None]]) -> list[Hit]:
    """Place documents as they come, with the scores that they have; `rank` is their place, from 1.

    Those without a score have minus their place. What comes twice is there once; different texts
    of one id stay apart, all but the first with an id of their own.
    """
    hits: list[Hit] = []
    texts: dict[str, str] = {}
    for place, (document, score) in enumerate(given, start=1):
        id_ = document.id
        if texts.get(id_) == document.text:
            continue
        if id_ in texts:
            id_ = f"{id_} (of place {place})"
        texts[id_] = document.text
        own = Document(id_, document.text, document.metadata)
        hits.append(Hit(own, -float(place) if score is None else score, place))
    return hits


def provenance(hit: Hit, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a document's metadata gain, see PROVENANCE.

    What an earlier search has left in the metadata of its first stage stays.
    """
    first = hit.first_stage
    rank, score = known.get(PROVENANCE[1], first.rank), known.get(PROVENANCE[2], first.score)
    return dict(zip(PROVENANCE, (hit.score, rank, score), strict=True))


def report_of(result: SearchResult) -> dict[str, Any]:
    """Say whether a search is `degraded`, its `notes`, and what each of its `stages` did.

    Texts and numbers only, which tracers can store; neither the query nor a document.
    """
    stages = [{name: getattr(stage, name) for name in _OF_STAGE} for stage in result.stages]
    return {
        "degraded": result.degraded,
        "notes": result.notes,
        "stages": [{**stage, "notes": list(stage["notes"])} for stage in stages],
    }


def log(result: SearchResult, logger: logging.Logger) -> None:
    """Warn of stages that left the incoming order, and of what stages noted."""
    for stage in result.stages:
        if stage.error is not None:
            logger.warning("stage %s left the incoming order: %s", stage.name, stage.error)
    for note in result.notes:
        logger.warning("%s", note)


def first(asked: Any, own: Any) -> Any:
    """Return what a call asks for, or what its component has."""
    return own if asked is None else asked
