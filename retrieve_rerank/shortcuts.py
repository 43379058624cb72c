"""One call each: an index opened by its name, and texts reranked without an index.

What they need is imported when they are called, so that importing the package stays light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from retrieve_rerank.base import Embedder, RerankResult
from retrieve_rerank.types import Document

if TYPE_CHECKING:
    from retrieve_rerank.pipeline.retriever import Retriever


class IndexKeywords(TypedDict, total=False):
    """The settings that `connect` takes as keywords, as `docs/cli.md` describes them."""

    text_field: str
    title_field: str
    vector_field: str
    sparse_field: str
    encoder: str | Embedder | object
    """A model's name, or the user's own: an `Embedder`, or LangChain's `Embeddings`."""
    sparse_encoder: str
    username: str
    password: str
    api_key: str
    bearer_token: str
    cloud_id: str
    ca_certs: Path | str
    fingerprint: str
    client_cert: Path | str
    client_key: Path | str
    grpc: bool
    grpc_port: int
    compress: bool
    timeout_s: float
    num_candidates: int
    hnsw_ef: int
    oversample: float
    fusion: Mapping[str, Any]
    top_k: int
    candidates: int
    deadline_s: float
    data_dir: Path | str
    indexes: Mapping[str, Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    segment: str
    """Of the searches: a model that was trained for it serves them."""
    rerank: str
    """The reranker's name, "none" for none, in place of the stages that are set."""
    model: str
    """The reranker's model; without `rerank`, of the one stage that is set, or the one that it
    is made for."""
    prompt: str
    depth: int
    weight: float
    client: object
    """The user's own `Elasticsearch` or `QdrantClient`, on which the index's name is looked up;
    it stays open."""
    config: Path | str | None
    """The file to read in place of the rr.toml that `rr` finds; None reads neither file nor
    environment."""


def connect(
    index: str | PathLike[str] | object | None = None, **settings: Unpack[IndexKeywords]
) -> Retriever:
    """Open an index as `rr search` does: by name, folder or URL, with what rr.toml and the
    environment set.

    Where None, it is the index that is set, or the only one there is. LangChain's
    `ElasticsearchStore` and `QdrantVectorStore` can be given too. Closing the retriever closes
    the index. Raises ConfigError, InputError, and what opening an index of that kind raises.

        with connect("docs", rerank="cross-encoder", model="bge-reranker-v2-m3") as retriever:
            result = retriever.search("how do I get a refund", top_k=5)
    """
    from retrieve_rerank.connecting import open_retriever

    return open_retriever(index, settings, caller="connect")


def rerank(
    query: str,
    texts: Sequence[str | Document],
    *,
    model: str | None = None,
    reranker: str | None = None,
    prompt: str | None = None,
    label: str | int | None = None,
    top_k: int | None = None,
) -> RerankResult:
    """Rerank texts as `rr rerank` does; without a model, by MaxSim with the bundled encoder.

    A text's hit has its place among them, from 0, as its document's id; documents keep theirs.
    The model is loaded by the first call that names it, and kept. Raises ConfigError,
    InputError and ModelError.
    """
    from retrieve_rerank.connecting import rerank_texts

    options = {"prompt": prompt, "label": label}
    return rerank_texts(query, texts, model=model, reranker=reranker, top_k=top_k, options=options)
