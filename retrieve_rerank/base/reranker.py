"""What a reranker must offer, and what it answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrieve_rerank.base.connector import Connector
from retrieve_rerank.template import Template
from retrieve_rerank.types import Hit, rescore


class Judgment(NamedTuple):
    """A reranker's answer with what the stage's report says of it."""

    hits: list[Hit]
    truncated: int = 0
    """Texts of which the model read only the beginning."""
    cache_hits: int = 0
    notes: tuple[str, ...] = ()
    """What else the report should say: answers that could not be read, a sentence each."""
    query_truncated: bool = False
    """Whether the model read only the beginning of the query."""
    truncated_ids: frozenset[str] = frozenset()
    """The documents that `truncated` counts, for the score cache; empty where that is not told."""


def truncated_ids(hits: Sequence[Hit], truncated: Sequence[bool]) -> frozenset[str]:
    """Name the documents whose texts, one for each hit, a model read the beginning of only."""
    return frozenset(hit.document.id for hit, cut in zip(hits, truncated, strict=True) if cut)


class Reranker(ABC):
    """Puts hits into a better order."""

    name: str
    """What reports call it."""

    default_weight: float = 1.0
    """Share of its scores in a stage's order where the stage sets none, see `Stage.weight`."""

    selective: bool = False
    """Whether hits that it does not return are dropped; else they follow below, in their order."""

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

    @abstractmethod
    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> list[Hit]:
        """Return the best `top_k` hits, all of them when None, best first.

        Each has the hit it was made from as `previous`; `rescore` does that.
        """

    async def arerank(
        self, query: str, hits: Sequence[Hit], *, top_k: int | None = None
    ) -> list[Hit]:
        """Async twin of `rerank`; in a thread unless the reranker is async."""
        return await asyncio.to_thread(self.rerank, query, hits, top_k=top_k)

    def judge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Order all of `hits`; overridden by rerankers that have something to report."""
        return Judgment(self.rerank(query, hits))

    async def ajudge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Async twin of `judge`."""
        return Judgment(await self.arerank(query, hits))

    def probabilities(self, scores: Sequence[float]) -> list[float] | None:
        """Turn its scores into probabilities of relevance; None where nothing is calibrated."""
        return None


class Scorer(Reranker):
    """A pointwise reranker: a text's score depends on the query and that text alone."""

    template: Template = Template()
    """What the scorer reads of a document."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a score would; empty where that cannot be told, which bars caching."""
        return ""

    @abstractmethod
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text against the query, higher is better, in the order given."""

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

    def rerank(self, query: str, hits: Sequence[Hit], *, top_k: int | None = None) -> list[Hit]:
        """Return the best `top_k` hits by the scores of their rendered documents."""
        texts = [self.template.render(hit.document) for hit in hits]
        scores = self.score(query, texts) if hits else []
        return rescore(hits, scores, top_k=top_k)

    def judge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Order all of `hits`, and say of which nothing could be read."""
        return Judgment(self.rerank(query, hits), notes=self._unread(hits))

    async def ajudge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Async twin of `judge`."""
        return Judgment(await self.arerank(query, hits), notes=self._unread(hits))

    def _unread(self, hits: Sequence[Hit]) -> tuple[str, ...]:
        return self.template.notes(hit.document for hit in hits)
