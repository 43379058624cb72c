"""What an embedding model must offer: vectors of texts, of their tokens, of a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:  # `import retrieve_rerank` loads no third-party package
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"


class Encoding(NamedTuple):
    """Both views of one text from a single forward pass."""

    vector: Vectors  # (dim,), normalised where the model says so
    tokens: Vectors  # (tokens, dim), rows of length 1
    truncated: bool


class Embedder(Protocol):
    """Texts to vectors, one each."""

    @property
    def name(self) -> str:
        """How users call the model: an alias, a hub id or a path."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would: a hash over weights and settings."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries, prompted as the model expects; (n, dim)."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents, prompted as the model expects; (n, dim)."""


class TokenEmbedder(Protocol):
    """Texts to one vector for each token, for MaxSim, with the pooled vector at no extra cost."""

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode queries, prompted as the model expects."""

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode documents, prompted as the model expects."""


class SparseEncoder(Protocol):
    """Texts to weights of a vocabulary's tokens: SPLADE, the sparse half of BGE-M3."""

    @property
    def name(self) -> str:
        """How users call the model: an alias, a hub id or a path."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights of a text would."""

    def encode_queries(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh each query's tokens: token id -> weight above 0."""

    def encode_documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Weigh each document's tokens: token id -> weight above 0."""

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Name tokens as the vocabulary writes them, for backends that take names."""


class Encoder(Embedder, TokenEmbedder, Protocol):
    """One model that serves both the first stage and MaxSim."""
