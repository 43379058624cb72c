"""Over-fetch candidates from a search index, rerank them, and prove the gain."""

from retrieve_rerank.base import (
    Connector,
    Embedder,
    Encoder,
    Filter,
    IndexReport,
    IndexSchema,
    Range,
    Reranker,
    RerankResult,
    Scorer,
    TensorConnector,
    TextScores,
    TokenEmbedder,
)
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.fusion import rrf, weighted
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.shortcuts import connect, rerank
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import (
    Candidates,
    Document,
    Hit,
    Placement,
    Qrels,
    Run,
    SearchResult,
    StageReport,
    rank,
    rescore,
)

__all__ = [
    "Candidates",
    "Connector",
    "Document",
    "Embedder",
    "Encoder",
    "Filter",
    "Hit",
    "IndexReport",
    "IndexSchema",
    "Placement",
    "Qrels",
    "Range",
    "RerankResult",
    "Reranker",
    "RetrieveRerankError",
    "Retriever",
    "Run",
    "Scorer",
    "SearchResult",
    "Stage",
    "StageReport",
    "Template",
    "TensorConnector",
    "TextScores",
    "TokenEmbedder",
    "connect",
    "rank",
    "rerank",
    "rescore",
    "rrf",
    "weighted",
]
