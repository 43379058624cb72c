"""Texts to scores, whatever shape they came in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.concurrency.caller import Caller
from retrieve_rerank.rerankers.cached import Cached
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.drop_in import sigmoid
from retrieve_rerank.server.refusals import INVALID, Refusal
from retrieve_rerank.server.served import ServedModel
from retrieve_rerank.server.shapes import Ranked, RerankRequest
from retrieve_rerank.types import Document, rank


async def rerank(
    served: ServedModel, asked: RerankRequest, who: Caller, *, request_id: str
) -> tuple[Ranked, RerankResult]:
    """Rerank the texts of a request; return what is answered, and what the reranker said.

    Raises Refusal where a text was cut and the request would not have that, and
    DeadlineExceededError.
    """
    texts = asked.contents
    hits = rank((Document(str(place), text), 0.0) for place, text in enumerate(texts))
    try:
        async with asyncio.timeout(who.deadline.left_s):
            result = await served.reranker.arerank(asked.query, hits, top_k=asked.top)
    except TimeoutError as exc:
        if who.deadline.over:
            raise who.deadline.exceeded() from exc
        raise
    if asked.truncate is False and (result.truncated or result.query_truncated):
        raise Refusal(
            INVALID,
            f"{result.truncated} of {len(texts)} texts are longer than the model reads, and the "
            "request says not to cut them",
        )
    scores = [hit.score for hit in result.hits]
    if not asked.raw:
        scores = relevance(served.reranker, scores)
    ranked = Ranked(
        request_id,
        served.name,
        [(int(hit.document.id), score) for hit, score in zip(result.hits, scores, strict=True)],
        texts if asked.returned else None,
        who.tokens,
    )
    return ranked, result


def relevance(reranker: Reranker, scores: Sequence[float]) -> list[float]:
    """Bring scores between 0 and 1, as clients expect: a probability where the model is calibrated.

    Of a cross-encoder's logits without a calibration it is their sigmoid; other scores stay.
    """
    likely = reranker.probabilities(scores)
    if likely is not None:
        return likely
    scorer = reranker.scorer if isinstance(reranker, Cached) else reranker
    if isinstance(scorer, CrossEncoder) and scorer.model.label_score.column is not None:
        squeezed: list[float] = sigmoid(np.array(scores, dtype=np.float64)).tolist()
        return squeezed
    return list(scores)
