"""Answers of the server as hits, with scores that mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.errors import DeadlineExceededError
from retrieve_rerank.types import Hit, rank


def ranking(
    found: Iterable[Mapping[str, Any]],
    layout: Layout,
    *,
    convert: Callable[[float], float] | None = None,
) -> list[Hit]:
    """Read one search's raw hits, best first; `convert` makes similarities of scores."""
    convert = convert or (lambda score: score)
    return rank((layout.document(hit), convert(float(hit["_score"]))) for hit in found)


def hits_of(answer: Mapping[str, Any], location: str) -> list[Mapping[str, Any]]:
    """Return the raw hits; raise DeadlineExceededError where these are not all."""
    if answer.get("timed_out"):
        raise DeadlineExceededError(f"{location} did not finish within the time given")
    hits: list[Mapping[str, Any]] = answer["hits"]["hits"]
    return hits


def similarity(score: float, measure: str) -> float:
    """Turn a kNN score back into what it was made from: cosine, dot product, or minus the
    distance, so that higher is better.

    The formulas are in https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/dense-vector
    """
    if measure in ("cosine", "dot"):
        return 2 * score - 1
    if measure == "l2":
        return -math.sqrt(max(0.0, 1 / score - 1)) if score > 0 else -math.inf
    if measure == "max_inner_product":
        return 1 - 1 / score if score < 1 else score - 1
    return score
