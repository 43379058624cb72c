"""What is asked of points that are known by their ids: their documents, and their MaxSim.

A first stage of several rankings asks for ids and scores alone, and only for what its fusion keeps
does it ask for more. MaxSim over the rankings' own prefetches would score a part of the hits where
there are several shards: each answers every prefetch, and all their candidates compete for one
limit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qdrant_client import models

from retrieve_rerank.base import Vectors
from retrieve_rerank.concurrency.steps import Together
from retrieve_rerank.connectors.hybrid import BM25
from retrieve_rerank.connectors.qdrant import requests
from retrieve_rerank.connectors.qdrant.added import Added
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.detection import multivectors
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.requests import PointId
from retrieve_rerank.connectors.qdrant.sending import send
from retrieve_rerank.connectors.qdrant.words_beside import rank_beside
from retrieve_rerank.types import Document, Hit


def bare(point: models.ScoredPoint) -> Document:
    """Stand for a point's document until it is fetched."""
    return Document(str(point.id), "")


def ask(
    state: State, wordings: Mapping[str, Sequence[models.QueryRequest]], *, with_payload: bool
) -> Steps[tuple[dict[str, list[models.ScoredPoint]], tuple[str, ...]]]:
    """Ask for rankings: name -> the points of all its pages; and say where some may be missing.

    A ranking by words in a companion is asked for there at the same time, and without payload.
    """
    beside = state.words_beside
    words = wordings.get(BM25) if beside is not None else None
    if beside is None or words is None:
        return (yield from _ask_here(state, wordings, with_payload=with_payload)), ()
    rest = {name: pages for name, pages in wordings.items() if name != BM25}
    depth = sum(page.limit or 0 for page in words)
    ranking = rank_beside(state, beside, words[0].model_copy(update={"limit": depth}))
    here = _ask_here(state, rest, with_payload=with_payload)
    (points, notes), found = yield Together([ranking, here])
    return {**found, BM25: points}, notes


def _ask_here(
    state: State, wordings: Mapping[str, Sequence[models.QueryRequest]], *, with_payload: bool
) -> Steps[dict[str, list[models.ScoredPoint]]]:
    selector = state.layout.selector if with_payload else False
    batch = [
        page.model_copy(update={"with_payload": selector})
        for pages in wordings.values()
        for page in pages
    ]
    answers = iter((yield from send(state.collection, state.limits, batch)))
    return {
        name: [point for _ in pages for point in next(answers)] for name, pages in wordings.items()
    }


def complete(
    state: State,
    hits: Sequence[Hit],
    found: Mapping[str, Sequence[models.ScoredPoint]],
    tokens: Vectors | None,
) -> Steps[tuple[list[Hit], dict[str, float], float]]:
    """Give hits of `bare` points their documents, and, by a query's `tokens`, MaxSim by their ids.

    A document comes with its MaxSim, or, where the tensors are in a companion, at the same time;
    only those without token tensors take a request of their own.
    Points that are gone meanwhile are left out. Returns the hits, MaxSim by document id, and the
    milliseconds that it took.
    """
    started = time.perf_counter()
    ids = {str(point.id): point.id for points in found.values() for point in points}
    points = [ids[hit.document.id] for hit in hits]
    documents: dict[PointId, Document] = {}
    scored: list[models.ScoredPoint] = []
    if tokens is not None and points and state.tensors is not None:
        if state.tensors.companion:
            asked = [max_sims(state, tokens, points, with_payload=False), _read(state, points)]
            scored, documents = yield Together(asked)
        else:
            scored = yield from max_sims(state, tokens, points, with_payload=True)
            documents = {each.id: state.layout.document(each) for each in scored}
    ms = (time.perf_counter() - started) * 1000
    documents |= yield from _read(state, [each for each in points if each not in documents])
    there = [(p, hit) for p, hit in zip(points, hits, strict=True) if p in documents]
    completed = [
        replace(hit, document=documents[point], rank=place)
        for place, (point, hit) in enumerate(there, start=1)
    ]
    means = requests.mean_max_sims(scored, tokens) if tokens is not None else {}
    return completed, {documents[point].id: score for point, score in means.items()}, ms


def max_sims(
    state: State, tokens: Vectors, ids: Sequence[PointId], *, with_payload: bool
) -> Steps[list[models.ScoredPoint]]:
    """Ask for the MaxSim of points; those without token tensors do not come back."""
    tensors = state.tensors
    if tensors is None:
        return []
    limits = tensors.limits
    step = int(min(len(ids), limits.query, limits.condition))
    batch = [
        requests.max_sim_request(
            tokens,
            ids[start : start + step],
            vector=tensors.place.vector,
            params=_unquantised(tensors),
            with_payload=state.layout.selector if with_payload else False,
        )
        for start in range(0, len(ids), step)
    ]
    answers = yield from send(tensors.collection, limits, batch)
    return [point for points in answers for point in points]


def _read(state: State, ids: Sequence[PointId]) -> Steps[dict[PointId, Document]]:
    """Read the documents of points."""
    if not ids:
        return {}
    arguments = {
        "collection_name": state.collection,
        "ids": list(ids),
        "with_payload": state.layout.selector,
    }
    records = yield Call("retrieve", arguments)
    return {each.id: state.layout.document(each) for each in records}


def _unquantised(tensors: Added) -> models.SearchParams | None:
    """Ask for the tokens as they are, where the collection may have made a quantised copy."""
    info = tensors.info
    tokens = multivectors(info).get(tensors.place.vector)
    if info.config.quantization_config is None and not (tokens and tokens.quantization_config):
        return None
    return models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))
