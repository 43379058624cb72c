"""The scores of a query's texts that compare: cosines, or a cross-encoder's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from retrieve_rerank.base import Scorer
from retrieve_rerank.connectors.hybrid import DENSE
from retrieve_rerank.errors import InputError, ScoreError
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.types import Document, Hit

SERVED: Literal["served"] = "served"
"""What stands for all that serves an index."""

ScoresOf: TypeAlias = Callable[[Sequence[Document]], Sequence[float]]
"""Gives the scores of documents."""


def served_scorer(retriever: Retriever) -> Scorer | None:
    """Return the last of the stages that scores texts by themselves; None where there is none."""
    rerankers = [stage.reranker for stage in retriever.stages]
    scorers = [each for each in rerankers if isinstance(each, Scorer) and each.pointwise]
    return scorers[-1] if scorers else None


def named_scorer(name: str, retriever: Retriever) -> Scorer:
    """Return the cross-encoder of a name, the index's own for SERVED.

    Raises InputError where the index is served without one.
    """
    if name != SERVED:
        return CrossEncoder(name)
    if (served := served_scorer(retriever)) is None:
        raise InputError("this index is served without a cross-encoder; name a model")
    return served


class QueryScores:
    """A scorer's scores for one query as its user asks it, each document scored once."""

    def __init__(self, scorer: Scorer, query: str, user: str = "") -> None:
        self._scorer = scorer
        self._query = scorer.for_user(query, user)
        self._known: dict[str, float] = {}

    def __call__(self, documents: Sequence[Document]) -> list[float]:
        """Score documents; raise ScoreError on a NaN."""
        new = [each for each in documents if each.id not in self._known]
        if new:
            texts = [self._scorer.template.render(each) for each in new]
            for document, score in zip(new, self._scorer.score(self._query, texts), strict=True):
                if math.isnan(score):
                    raise ScoreError(
                        f"{self._scorer.name} gave document {document.id!r} NaN; expected a number"
                    )
                self._known[document.id] = score
        return [self._known[each.id] for each in documents]


def no_cosines(hits: Sequence[Hit]) -> bool:
    """Tell whether none of the hits comes from a dense ranking that told its cosines."""
    return not any(DENSE in hit.first_stage.sources for hit in hits)


class Cosines:
    """The cosines that a dense ranking gave its hits."""

    def __init__(self, hits: Sequence[Hit]) -> None:
        """Raise InputError where there are hits and none is of a dense ranking."""
        self._known = {
            hit.document.id: hit.first_stage.sources[DENSE].score
            for hit in hits
            if DENSE in hit.first_stage.sources
        }
        if hits and no_cosines(hits):
            raise InputError(
                "margins and bounds of scores compare cosines or a cross-encoder's scores, and this"
                " search has neither: a share of a BM25 or a fused score means nothing; give a"
                " scorer"
            )

    def known(self, documents: Sequence[Document]) -> list[float]:
        """Return the cosines of those of the documents that the ranking holds."""
        return [self._known[each.id] for each in documents if each.id in self._known]

    def __call__(self, documents: Sequence[Document]) -> list[float]:
        """Return at least the cosine: what the ranking does not hold is no nearer than its last."""
        last = min(self._known.values(), default=0.0)
        return [self._known.get(each.id, last) for each in documents]
