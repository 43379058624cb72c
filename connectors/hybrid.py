"""The first stage's rankings into one: what both built-in indexes do after searching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.fusion import rrf, weighted
from retrieve_rerank.text.template import readable
from retrieve_rerank.types import Hit, Placement

DENSE = "dense"
BM25 = "bm25"
SPARSE = "sparse"
"""Learned sparse vectors: SPLADE, ELSER, BGE-M3."""

RANKINGS = (DENSE, BM25, SPARSE)
LEXICAL = (BM25, SPARSE)
"""Rankings in which a document that has none of the query's terms has the score 0."""
METHODS = ("weighted", "rrf", "server-rrf", "server-linear")

DEPTH = 100
"""Hits that each ranking contributes at least: the first hits shall not depend on `top_k`."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """How dense and BM25 rankings become one."""

    method: Literal["weighted", "rrf", "server-rrf", "server-linear"] = "weighted"
    """Here, by standardised scores or by ranks; or by the server, where it can."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Ranking -> its weight, 1 where absent; a ranking of weight 0 is not asked for."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"unknown fusion {self.method!r}; known: {', '.join(METHODS)}")
        if unknown := self.weights.keys() - set(RANKINGS):
            raise ConfigError(
                f"unknown rankings {sorted(unknown)}; known: {', '.join(sorted(RANKINGS))}"
            )
        if not all(weight >= 0 for weight in self.weights.values()):
            raise ConfigError(f"weights of a fusion must not be negative; got {self.weights}")

    def uses(self, ranking: str) -> bool:
        """Tell whether a ranking has any weight."""
        return self.weights.get(ranking, 1.0) > 0

    @property
    def by_server(self) -> bool:
        """Whether the server is to fuse."""
        return self.method.startswith("server-")

    def fuse(self, rankings: Mapping[str, Sequence[Hit]], *, top_k: int, depth: int) -> list[Hit]:
        """Fuse here; a lone ranking keeps its scores.

        `depth` is how many hits of each were asked for: a lexical ranking with fewer is exhausted.
        """
        if len(rankings) == 1:
            [(name, hits)] = rankings.items()
            return [
                Hit(
                    hit.document,
                    hit.score,
                    hit.rank,
                    sources={name: Placement(hit.rank, hit.score)},
                )
                for hit in hits[:top_k]
            ]
        if self.by_server:
            raise ConfigError(f"this index has no server that fuses; got {self.method!r}")
        if self.method == "rrf":
            return rrf(rankings, weights=self.weights, top_k=top_k)
        exhausted = [name for name in LEXICAL if len(rankings.get(name, ())) < depth]
        return weighted(rankings, weights=self.weights, exhausted=exhausted, top_k=top_k)


def checked_query(query: str, top_k: int = 1) -> str:
    """Return a query as `readable`: servers lose words beside half a surrogate pair.

    Raises InputError for a query without characters or a `top_k` below 1.
    """
    if not query.strip():
        raise InputError("the query is empty; expected words to search for")
    if top_k < 1:
        raise InputError(f"top_k must be at least 1; got {top_k}")
    return readable(query)
