"""How fast this machine searches, trains, and scores with what serves today: a few seconds each."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from retrieve_rerank.errors import InputError
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.finetuning.speed import Speed, Today
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.mining import Mining
from retrieve_rerank.training.trainers import measure_speed, read_encoder
from retrieve_rerank.training.tuning import can_tune

TRIED = 24
"""Queries that are tried at most."""

_SECONDS = 5.0
_HITS = 16  # of a query: few, so that a slow model soon has an answer


def try_out(
    today: Retriever,
    mining: Mining,
    *,
    ready: Sequence[Group] | None,
    settings: FinetuneSettings,
) -> Speed:
    """Mine for a few queries, train on what comes of it, else on `ready`, and rerank as today.

    Raises InputError where there is nothing to train on, and as training and today's stages do.
    """
    read_encoder(settings.base)
    started = time.perf_counter()
    mined = [group for group, _ in mining.outcomes() if group is not None]
    searches_per_s = len(mining.qrels) / (time.perf_counter() - started)
    groups = mined if ready is None else ready  # all, as the first may be of no use to the loss
    if not groups:
        raise InputError(
            f"none of {len(mining.qrels)} training queries has a relevant document in the index and"
            " a negative beside it; are these judgments of this index?"
        )
    queries = [mining.queries[query] for query in mining.qrels]
    return Speed(
        searches_per_s=searches_per_s,
        pairs_per_s=measure_speed(
            groups, base=settings.base, settings=replace(settings.trainer, remine=False)
        ),
        today=_try_today(today, queries) if today.stages else None,
    )


def _try_today(today: Retriever, queries: Sequence[str]) -> Today:
    *before, last = today.stages
    retriever = Retriever(today.connector, *before, candidates=today.candidates)
    searches, pairs, searching_s, scoring_s = 0, 0, 0.0, 0.0
    # The first query is there twice, as what is loaded on first use does not count.
    for number, query in enumerate([queries[0], *queries]):
        started = time.perf_counter()
        hits = retriever.search(query, top_k=retriever.candidates, on_error="raise").hits
        searched = time.perf_counter()
        last.reranker.rerank(query, hits[:_HITS])
        if number:
            searches += 1
            pairs += len(hits[:_HITS])
            searching_s += searched - started
            scoring_s += time.perf_counter() - searched
        if searching_s + scoring_s > _SECONDS:
            break
    return Today(
        before_s=searching_s / searches,
        pairs_per_s=pairs / scoring_s if pairs else math.inf,
        depth=min(last.depth or today.candidates, today.candidates),
        candidates=today.candidates,
        tunable=can_tune(last.reranker),
    )
