"""Two models as one encoder: the vectors of one, the tokens' vectors of another."""

from __future__ import annotations

from collections.abc import Sequence

from retrieve_rerank.base import Encoder, Encoding, Vectors
from retrieve_rerank.text.truncation import truncates


class TwoEncoders:
    """An `Encoder` under the name of the one whose vectors a first stage searches by.

    Both read a text where its vector and its tokens are asked for.
    """

    def __init__(self, vectors: Encoder, tokens: Encoder) -> None:
        self.vectors = vectors
        self.tokens = tokens

    def __repr__(self) -> str:
        return f"TwoEncoders({self.vectors!r}, {self.tokens!r})"

    @property
    def name(self) -> str:
        """How users call the model of the vectors."""
        return self.vectors.name

    @property
    def fingerprint(self) -> str:
        """Of the model of the vectors."""
        return self.vectors.fingerprint

    @property
    def dimension(self) -> int:
        """Length of each vector; a token's may be another."""
        return self.vectors.dimension

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries; (n, dim)."""
        return self.vectors.embed_queries(texts)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed documents; (n, dim)."""
        return self.vectors.embed_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode queries with both."""
        vectors = self.vectors.embed_queries(texts)
        return _joined(vectors, self.tokens.encode_queries(texts))

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode documents with both; those are cut that the model of the tokens cuts."""
        vectors = self.vectors.embed_documents(texts)
        return _joined(vectors, self.tokens.encode_documents(texts))

    def truncates(self, query: str) -> bool:
        """Tell whether the model of the vectors reads only the beginning of a query."""
        return truncates(self.vectors, query)


def _joined(vectors: Vectors, encodings: Sequence[Encoding]) -> list[Encoding]:
    return [
        encoding._replace(vector=vector)
        for vector, encoding in zip(vectors, encodings, strict=True)
    ]
