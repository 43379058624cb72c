"""Token tensors in Elasticsearch's own type for them, which the server itself scores.

https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/rank-vectors: an Enterprise
licence, since 8.18. It keeps float32 as it is; its smaller numbers are coarser than our float16
and int8, which therefore are not kept so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retrieve_rerank.base import TensorSettings, Vectors
from retrieve_rerank.connectors.elasticsearch.client import Steps
from retrieve_rerank.connectors.elasticsearch.versions import (
    ENTERPRISE_LICENSES,
    ask_license,
    ask_server,
)

_SINCE = (8, 18)


def ask_for(settings: TensorSettings, location: str) -> Steps[bool]:
    """Ask the server whether it keeps such tensors."""
    if settings.dtype != "float32":
        return False
    server = yield from ask_server(location)
    license = yield from ask_license()
    return server.has(*_SINCE) and license in ENTERPRISE_LICENSES


def field(settings: TensorSettings) -> dict[str, Any]:
    """Word the mapping."""
    return {"type": "rank_vectors", "element_type": "float", "dims": settings.dimension}


def is_field(mapping: Mapping[str, object]) -> bool:
    """Tell whether a field was mapped so."""
    return mapping["type"] == "rank_vectors"


def scoring(query: Vectors, keys: Sequence[str], name: str) -> dict[str, Any]:
    """Word the scoring of these `_id`s by a query's token vectors, (m, dim), of length 1.

    A script's score may not be negative, and a document without the field is an error to it.
    """
    there = [{"ids": {"values": list(keys)}}, {"exists": {"field": name}}]
    script = {
        "source": f"maxSimDotProduct(params.q, '{name}') + params.m",
        "params": {"q": query.tolist(), "m": len(query) + 1},
    }
    return {
        "query": {"script_score": {"query": {"bool": {"filter": there}}, "script": script}},
        "size": len(keys),
        "_source": False,
        "track_total_hits": False,
    }


def scores(hits: Iterable[Mapping[str, Any]], tokens: int) -> dict[str, float]:
    """Read `_id` -> MaxSim, the mean over a query's `tokens`."""
    return {hit["_id"]: (float(hit["_score"]) - tokens - 1) / tokens for hit in hits}
