"""The extension points: what a search backend, a reranker and an embedding model must offer."""

from retrieve_rerank.base.capabilities import (
    Aliasable,
    Optimizable,
    PartitionedScan,
    TensorRefreshing,
    Verifiable,
    Verification,
)
from retrieve_rerank.base.connector import (
    Connector,
    FieldFilter,
    Filter,
    IndexReport,
    IndexSchema,
    Range,
    Scalar,
)
from retrieve_rerank.base.encoder import (
    Embedder,
    Encoder,
    Encoding,
    SparseEncoder,
    TokenEmbedder,
    Vectors,
)
from retrieve_rerank.base.reranker import Reranker, RerankResult, Scorer, TextScores
from retrieve_rerank.base.token_tensors import (
    MaxSimScores,
    TensorConnector,
    TensorDtype,
    TensorSearch,
    TensorSettings,
    TensorStore,
    TokenTensor,
)
from retrieve_rerank.base.vector_search import OVERSAMPLE, Embedding, Graph, Knob, VectorSearch

__all__ = [
    "OVERSAMPLE",
    "Aliasable",
    "Connector",
    "Embedder",
    "Embedding",
    "Encoder",
    "Encoding",
    "FieldFilter",
    "Filter",
    "Graph",
    "IndexReport",
    "IndexSchema",
    "Knob",
    "MaxSimScores",
    "Optimizable",
    "PartitionedScan",
    "Range",
    "RerankResult",
    "Reranker",
    "Scalar",
    "Scorer",
    "SparseEncoder",
    "TensorConnector",
    "TensorDtype",
    "TensorRefreshing",
    "TensorSearch",
    "TensorSettings",
    "TensorStore",
    "TextScores",
    "TokenEmbedder",
    "TokenTensor",
    "VectorSearch",
    "Vectors",
    "Verifiable",
    "Verification",
]
