"""Documents into points: encoded, pooled, weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import qdrant_edge as edge

from retrieve_rerank.base import Encoder, Encoding, Vectors
from retrieve_rerank.connectors.embedded.requests import point
from retrieve_rerank.connectors.embedded.settings import EmbeddedSettings
from retrieve_rerank.connectors.encoder_output import check_vectors
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.records import Record
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.text.template import Template


class SizedPoint(NamedTuple):
    """A point, and about how many bytes it takes on the disk, log included."""

    point: edge.Point
    size: int


class PointBatch(NamedTuple):
    """A batch as points."""

    points: list[SizedPoint]
    truncated: int
    """Documents of which the encoder read only the beginning."""


def make_points(
    records: Sequence[Record],
    *,
    settings: EmbeddedSettings,
    bm25: Bm25,
    encoder: Encoder | None,
    dimension: int,
    token_dimension: int,
    vectors: Mapping[str, Vectors] | None = None,
) -> PointBatch:
    """Make the points of a batch.

    `vectors`, by document id, are taken in place of those that the encoder gives. Raises
    IndexMismatchError for vectors of another length than the encoder's, and ModelError
    for such as hold no numbers: the engine would store them, and never find them.
    """
    template = Template(settings.template)
    texts = [template.render(record.document) for record in records]
    encodings: Sequence[Encoding | None] = [None] * len(records)
    if encoder is not None and records:
        encodings = encoder.encode_documents(texts)
    if vectors is not None:
        encodings = [
            encoding and encoding._replace(vector=vectors[record.id])
            for record, encoding in zip(records, encodings, strict=True)
        ]
    points: list[SizedPoint] = []
    for record, text, encoding in zip(records, texts, encodings, strict=True):
        terms = bm25.document(text)
        size = 4 * len(record.text) + 8 * len(terms)
        dense = tokens = None
        if encoder is not None and encoding is not None:
            for array, length in (
                (encoding.vector, dimension),
                (encoding.tokens, token_dimension),
            ):
                check_vectors(
                    array,
                    of=f"document {record.id!r}",
                    encoder=encoder.name,
                    dimension=length,
                )
            dense, tokens = encoding.vector, pool_tokens(encoding.tokens, settings.pooling_factor)
            size += 2 * (dense.nbytes + tokens.nbytes)
        points.append(SizedPoint(point(record, terms=terms, dense=dense, tokens=tokens), size))
    truncated = sum(encoding is not None and encoding.truncated for encoding in encodings)
    return PointBatch(points, truncated)
