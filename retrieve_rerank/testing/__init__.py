"""What authors of rerankers and backends test with: fakes without weights, and conformance."""

from retrieve_rerank.testing.connectors import ConnectorConformance
from retrieve_rerank.testing.hashing import HashingEncoder
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.testing.rerankers import RerankerConformance, ScorerConformance

__all__ = [
    "ConnectorConformance",
    "HashingEncoder",
    "OverlapScorer",
    "RerankerConformance",
    "ScorerConformance",
]
