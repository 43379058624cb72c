"""Ways to keep fewer numbers of a document's token vectors, and MaxSim over what they leave."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from benchmarks.judged import Collection
from retrieve_rerank.base import Vectors
from retrieve_rerank.models.encoders.pooling import unit_rows
from retrieve_rerank.models.encoders.token_pooling import pool_tokens


@dataclass(frozen=True, slots=True)
class Compaction:
    """A projection of queries' and documents' tokens, then pooling of the documents'."""

    name: str
    pool: Callable[[Vectors], Vectors]
    projection: Vectors | None = None  # (dim, kept)

    def project(self, tokens: Vectors) -> Vectors:
        """Project rows (n, dim) to length 1."""
        return tokens if self.projection is None else unit_rows(tokens @ self.projection)


@dataclass(slots=True)
class Scored:
    """MaxSim under one compaction, and what it costs."""

    scores: list[dict[str, float]]
    """For each query: candidate's id -> MaxSim."""
    vectors: float = 0.0
    """Mean for a document."""
    dimension: int = 0
    pooling_ms: list[float] = field(default_factory=list)
    """For each document."""

    @property
    def numbers(self) -> float:
        """Kept of a document, mean."""
        return self.vectors * self.dimension


def neighbours(factor: int, projection: Vectors | None = None) -> Compaction:
    """Average `factor` neighbours, as the product does."""
    name = "all tokens" if factor == 1 else f"{factor} neighbours"
    if projection is not None:
        name += f", {projection.shape[1]} dimensions"
    return Compaction(name, partial(pool_tokens, factor=factor), projection)


def ward(factor: int) -> Compaction:
    """Average the members of n / factor clusters by Ward's criterion."""
    return Compaction(f"Ward, factor {factor}", partial(_ward, factor=factor))


def _ward(tokens: Vectors, *, factor: int) -> Vectors:
    kept = -(-len(tokens) // factor)
    if len(tokens) <= kept:
        return tokens
    clusters = fcluster(linkage(tokens, "ward"), kept, "maxclust") - 1
    sums = np.zeros((clusters.max() + 1, tokens.shape[1]), dtype=np.float32)
    np.add.at(sums, clusters, tokens)
    return unit_rows(sums)


def principal_axes(sample: Vectors, kept: int) -> Vectors:
    """Directions of largest second moment of (n, dim) rows, (dim, kept); signs are arbitrary."""
    _, axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    return np.ascontiguousarray(axes[:, ::-1][:, :kept], dtype=np.float32)


def max_sims(collection: Collection, compactions: Sequence[Compaction]) -> dict[str, Scored]:
    """Score every query's candidates under each compaction; every document is read once."""
    askers: dict[str, list[int]] = defaultdict(list)
    for i, query in enumerate(collection.queries):
        for id_ in sorted(query.candidates):
            askers[id_].append(i)
    queries = {
        each.name: [each.project(query.tokens) for query in collection.queries]
        for each in compactions
    }
    found = {each.name: Scored([{} for _ in collection.queries]) for each in compactions}
    for id_, asking in askers.items():
        tokens = collection.tokens[collection.position[id_]]
        for each in compactions:
            scored = found[each.name]
            started = time.perf_counter()
            kept = each.pool(each.project(tokens))
            scored.pooling_ms.append((time.perf_counter() - started) * 1000)
            scored.vectors += len(kept) / len(askers)
            scored.dimension = kept.shape[1]
            asked = [queries[each.name][i] for i in asking]
            best = (kept @ np.concatenate(asked).T).max(axis=0)  # (all asking queries' tokens,)
            start = 0
            for i, asker in zip(asking, asked, strict=True):
                scored.scores[i][id_] = float(best[start : start + len(asker)].mean())
                start += len(asker)
    return found
