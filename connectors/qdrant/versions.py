"""What a server can do by its version, and what its strict mode allows.

A newer request is not always refused by an older server: by gRPC it may be silently ignored, so
that nothing is asked of a server that its version does not promise.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from qdrant_client import models

from retrieve_rerank.errors import UnsupportedServerError

Version = tuple[int, int]

QUERY_API = (1, 10)
"""Prefetches, fusion, IDF, batches of them: below it nothing works."""
HAS_VECTOR = (1, 13)
"""A filter for points that have a vector of a name."""
METADATA = (1, 16)
"""Metadata of a collection; RRF with a constant."""
RRF_WEIGHTS = (1, 17)
VECTOR_NAMES = (1, 18)
"""Vectors can be added to an existing collection, and taken away."""
SLICES = (1, 19)
"""A filter for one of so many parts of the points."""
TEXT_QUERY = (1, 20)
"""BM25 over a text index of the payload; vectors of 8 bits by TurboQuant."""


def read_version(info: models.VersionInfo, location: str) -> Version:
    """Read a server's version; raise UnsupportedServerError where it is too old or not Qdrant."""
    found = re.match(r"(\d+)\.(\d+)", info.version or "")
    if found is None or "qdrant" not in (info.title or "").lower():
        raise UnsupportedServerError(
            f"what answers at {location} is not Qdrant: it calls itself {info.title!r:.100}"
        )
    version = (int(found[1]), int(found[2]))
    if version < QUERY_API:
        raise UnsupportedServerError(
            f"{location} is Qdrant {info.version}; {'.'.join(map(str, QUERY_API))} or later is "
            "needed"
        )
    return version


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a collection's strict mode; infinite where it has none."""

    query: float = math.inf
    """Hits of one request or prefetch."""
    timeout_s: float = math.inf
    hnsw_ef: float = math.inf
    oversampling: float = math.inf
    search_batch: float = math.inf
    upsert_batch: float = math.inf
    condition: float = math.inf
    """Ids or values of one condition of a filter."""
    conditions: float = math.inf
    """Conditions of a filter."""
    indexes: float = math.inf
    """Payload indexes of the collection."""
    exact: bool = True
    """Whether exact search is allowed."""
    unindexed: bool = True
    """Whether filters may ask for fields without an index."""

    @classmethod
    def of(cls, info: models.CollectionInfo) -> Self:
        """Read them from a collection's description."""
        config = info.config.strict_mode_config
        if config is None or not config.enabled:
            return cls()
        given = {
            "query": config.max_query_limit,
            "timeout_s": config.max_timeout,
            "hnsw_ef": config.search_max_hnsw_ef,
            "oversampling": config.search_max_oversampling,
            "search_batch": config.search_max_batchsize,
            "upsert_batch": config.upsert_max_batchsize,
            "condition": config.condition_max_size,
            "conditions": config.filter_max_conditions,
            "indexes": config.max_payload_index_count,
            "exact": config.search_allow_exact,
            "unindexed": config.unindexed_filtering_retrieve,
        }
        return cls(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # by their names
