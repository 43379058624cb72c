"""What a reranker must offer, and what it answers."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from retrieve_rerank.base.connector import Connector
from retrieve_rerank.errors import InputError, ScoreError
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Hit, rescore


@dataclass(frozen=True, slots=True)
class RerankResult:
    """What a reranker answers: hits, best first, and what the stage's report says of them."""

    hits: Sequence[Hit]
    truncated: int = 0
    """Texts of which the model read only the beginning."""
    cache_hits: int = 0
    notes: tuple[str, ...] = ()
    """What else the report should say: answers that could not be read, a sentence each."""
    query_truncated: bool = False
    """Whether the model read only the beginning of the query."""
    unread: int = 0
    """Answers of a language model that say nothing of the order, such as a refusal."""

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


class Reranker(ABC):
    """Puts hits into a better order.

    Implement `_rerank`, or subclass `Scorer`, where each text gets a score. Callers use
    `rerank` and `arerank`.
    """

    name: str
    """What reports call it."""

    default_weight: float = 1.0
    """Share of its scores in a stage's order where the stage sets none, see `Stage.weight`."""

    selective: bool = False
    """Whether hits that it is given and does not return are dropped; else they follow below, in
    their order."""

    keeps_places: bool = False
    """Whether hits that it does not return keep their places, those that it does return taking
    the others."""

    @classmethod  # noqa: B027  # most have nothing to check
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise for values of `configure`'s options that are wrong whatever its model is.

        So that all stages can be checked before the model of any is loaded.
        """

    @classmethod
    def configure(cls, connector: Connector, **options: Any) -> Reranker:
        """Make one from configuration; `connector` is where its hits will come from."""
        return cls(**options)

    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> RerankResult:
        """Return the best `top_k` hits, all of them where None, best first, ranked from 1.

        Each has the hit it was made from as `previous`. Raises ScoreError on a NaN.
        """
        _check_top_k(top_k)
        return self._checked(self._rerank(query, hits), top_k)

    async def arerank(
        self, query: str, hits: Sequence[Hit], *, top_k: int | None = None
    ) -> RerankResult:
        """Async twin of `rerank`; in a thread unless the reranker is async."""
        _check_top_k(top_k)
        return self._checked(await self._arerank(query, hits), top_k)

    @abstractmethod
    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Order all of `hits`, equal ones as they came; `rescore` does that by given scores.

        `hits` stays as it is.
        """

    async def _arerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Async twin of `_rerank`, for rerankers that need no thread."""
        return await asyncio.to_thread(self._rerank, query, hits)

    def for_user(self, query: str, user: str) -> str:
        """Return what it reads of a query where `user` tells who asks; the query, for most."""
        return query

    def below(self, shown: Sequence[Hit], rest: Sequence[Hit]) -> Sequence[Hit]:
        """Return which hits beyond a stage's depth follow those that it returned; all, for most."""
        return rest

    def probabilities(self, scores: Sequence[float]) -> list[float] | None:
        """Turn its scores into probabilities of relevance; None where nothing is calibrated."""
        return None

    def _checked(self, result: RerankResult, top_k: int | None) -> RerankResult:
        for hit in result.hits:
            if math.isnan(hit.score):
                raise ScoreError(
                    f"{self.name} gave document {hit.document.id!r} NaN; expected a number"
                )
        return result if top_k is None else replace(result, hits=result.hits[:top_k])


class TextScores(NamedTuple):
    """The scores of texts, in the order given, and what the report says of them."""

    scores: Sequence[float]
    truncated: Sequence[bool] = ()
    """For each text, whether the model read only its beginning; empty where that is not told."""
    query_truncated: bool = False
    notes: tuple[str, ...] = ()
    cache_hits: int = 0


class Scorer(Reranker):
    """A reranker that gives each text a score."""

    template: Template = Template()
    """What the scorer reads of a document."""

    pointwise: bool = True
    """Whether a text's score depends on the query and that text alone. Only such texts may be
    scored apart from the others: in slices under a deadline, or by a cache."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a score would; empty where that cannot be told, which bars caching."""
        return ""

    @abstractmethod
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text against the query, higher is better, in the order given."""

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Score each text as `score` does; overridden by scorers that have more to tell."""
        return TextScores(self.score(query, texts))

    async def ascore_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Async twin of `score_texts`; in a thread unless the scorer is async."""
        return await asyncio.to_thread(self.score_texts, query, texts)

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score each (query, text) as `score` does, in the order given."""
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            places.setdefault(query, []).append(place)
        scores = [0.0] * len(pairs)
        for query, those in places.items():
            found = self.score(query, [pairs[place][1] for place in those])
            for place, score in zip(those, found, strict=True):
                scores[place] = score
        return scores

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Order hits by the scores of their rendered documents."""
        texts = self._texts(hits)
        return self._by(self.score_texts(query, texts) if texts else TextScores([]), hits)

    async def _arerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Async twin of `_rerank`."""
        texts = self._texts(hits)
        return self._by(await self.ascore_texts(query, texts) if texts else TextScores([]), hits)

    def _texts(self, hits: Sequence[Hit]) -> list[str]:
        return [self.template.render(hit.document) for hit in hits]

    def _by(self, told: TextScores, hits: Sequence[Hit]) -> RerankResult:
        unread = self.template.notes(hit.document for hit in hits)
        return RerankResult(
            rescore(hits, told.scores),
            sum(told.truncated),
            told.cache_hits,
            (*unread, *told.notes),
            told.query_truncated,
        )


def _check_top_k(top_k: int | None) -> None:
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k must be at least 1; got {top_k}")
