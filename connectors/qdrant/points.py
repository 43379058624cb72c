"""Documents into points: encoded, weighed, with an estimate of their size on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from qdrant_client import models

from retrieve_rerank.base import Encoder, Encoding, Vectors
from retrieve_rerank.connectors.encoder_output import check_vectors
from retrieve_rerank.connectors.hybrid import BM25, DENSE
from retrieve_rerank.connectors.point_ids import point_id
from retrieve_rerank.connectors.qdrant.added import TOKEN_TENSORS
from retrieve_rerank.connectors.qdrant.record import IndexRecord
from retrieve_rerank.connectors.qdrant.requests import sparse_vector
from retrieve_rerank.connectors.records import Record
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.connectors.two_encoders import TwoEncoders
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.text.template import Template

MAX_FLOATS = 1_048_576
"""Of one point's token vectors together; Qdrant refuses as many and more."""

_BYTES_OF_NUMBER = 12  # of a float32 in JSON, with its comma; by gRPC it is 4
_BYTES_OF_TERM = 24


class SizedPoint(NamedTuple):
    """A point, and about how many bytes it takes in a request."""

    point: models.PointStruct
    size: int


class PointBatch(NamedTuple):
    """A batch as points."""

    points: Iterable[SizedPoint]
    truncated: int
    """Documents of which the encoder read only the beginning."""


def make_points(
    records: Sequence[Record], made_with: IndexRecord, encoder: Encoder | None
) -> PointBatch:
    """Make the points of a batch, with token tensors where the index has them of this encoder.

    Raises IndexMismatchError for vectors of another length than the encoder's, and ModelError for
    such as hold no numbers.
    """
    template = Template(made_with.template)
    texts = [template.render(record.document) for record in records]
    encodings: Sequence[Encoding | None] = [None] * len(records)
    settings = made_with.tensors
    of_tokens = encoder.tokens if isinstance(encoder, TwoEncoders) else encoder
    if settings and of_tokens and settings.fingerprint != of_tokens.fingerprint:
        settings = None
    if encoder is not None and records:
        encodings = encoder.encode_documents(texts)
        for record, encoding in zip(records, encodings, strict=True):
            of = f"document {record.id!r}"
            dimension = encoder.dimension
            check_vectors(encoding.vector, of=of, encoder=encoder.name, dimension=dimension)
            if settings is not None:
                dimension = settings.dimension
                check_vectors(encoding.tokens, of=of, encoder=encoder.name, dimension=dimension)
    factor = settings.pooling_factor if settings else None
    points = (
        _point(record, text, made_with, encoding, factor)
        for record, text, encoding in zip(records, texts, encodings, strict=True)
    )
    return PointBatch(points, sum(bool(each and each.truncated) for each in encodings))


def fit_tensor(tokens: Vectors) -> Vectors:
    """Average neighbouring tokens until a tensor is one that Qdrant takes."""
    while tokens.size >= MAX_FLOATS:
        tokens = pool_tokens(tokens, 2)
    return tokens


def wire_size(numbers: int) -> int:
    """Estimate the bytes that floats take in a request."""
    return numbers * _BYTES_OF_NUMBER


def terms_size(terms: int) -> int:
    """Estimate the bytes that weighed terms take in a request."""
    return terms * _BYTES_OF_TERM


def _point(
    record: Record,
    text: str,
    made_with: IndexRecord,
    encoding: Encoding | None,
    pooling_factor: int | None,
) -> SizedPoint:
    terms = made_with.bm25.document(text) if made_with.bm25 else {}
    vectors: dict[str, Any] = {}
    payload = {
        "id": record.id,
        "text": record.text,
        "metadata": record.metadata,
        "hash": record.content_hash,
    }
    numbers = 0
    if terms:
        vectors[BM25] = sparse_vector(terms)
    if encoding is not None:
        vectors[DENSE] = encoding.vector.tolist()
        numbers += encoding.vector.size
        if pooling_factor is not None and len(encoding.tokens):
            tokens = fit_tensor(pool_tokens(encoding.tokens, pooling_factor))
            place = TOKEN_TENSORS.served_in(made_with)
            vectors[place.vector] = tokens.tolist()
            payload[place.hash] = content_hash(text)
            numbers += tokens.size
    size = len(record.text.encode()) + len(str(record.metadata).encode())
    return SizedPoint(
        models.PointStruct(id=point_id(record.id), vector=vectors, payload=payload),
        2 * size + terms_size(len(terms)) + wire_size(numbers),
    )
