"""Making a collection of our own schema."""

from __future__ import annotations

from qdrant_client import models

from retrieve_rerank.base import Encoder, TensorDtype, TensorSettings
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.hybrid import BM25, DENSE
from retrieve_rerank.connectors.qdrant.client import Call, Server, Steps
from retrieve_rerank.connectors.qdrant.layout import TENSORS
from retrieve_rerank.connectors.qdrant.record import (
    KEY,
    SCHEMA,
    IndexRecord,
    save_record,
)
from retrieve_rerank.connectors.qdrant.versions import METADATA, TEXT_QUERY, Version, read_version
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.checkpoints.resolving import portable_name

POOLING_FACTOR = 2
"""Tokens averaged into one, as in the embedded index: docs/benchmarks/recipe.md."""

_DATATYPES = {
    "float32": models.Datatype.FLOAT32,
    "float16": models.Datatype.FLOAT16,
    "int8": models.Datatype.TURBO8,
}


def create(
    server: Server,
    collection: str,
    *,
    encoder: Encoder | None,
    language: str | None,
    tensors: TensorDtype | None,
) -> Steps[None]:
    """Make an empty collection; raise IndexExistsError where there is one."""
    version = read_version((yield Call("info")), server.location)
    vectors: dict[str, models.VectorParams] = {}
    settings = None
    if encoder is not None:
        vectors[DENSE] = models.VectorParams(
            size=encoder.dimension, distance=models.Distance.COSINE
        )
        if tensors is not None:
            dimension = getattr(encoder, "token_dimension", encoder.dimension)  # of a projection
            settings = TensorSettings(
                portable_name(encoder.name),
                encoder.fingerprint,
                dimension,
                tensors,
                POOLING_FACTOR,
            )
            datatype = tensor_datatype(tensors, version)
            vectors[TENSORS] = tensor_vectors(dimension, datatype)
    record = IndexRecord(
        schema=SCHEMA,
        encoder=EncoderFacts.of(encoder) if encoder else None,
        language=language,
        tensors=settings,
    )
    arguments = {
        "collection_name": collection,
        "vectors_config": vectors,
        "sparse_vectors_config": {BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    }
    if version >= METADATA:
        arguments["metadata"] = {KEY: record.values()}
    yield Call("create_collection", arguments)
    if version < METADATA:
        yield from save_record(collection, version, record)


def tensor_vectors(dimension: int, datatype: models.Datatype) -> models.VectorParams:
    """Word the field of token tensors."""
    return models.VectorParams(
        size=dimension,
        distance=models.Distance.COSINE,
        datatype=datatype,
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
        hnsw_config=NO_GRAPH,
        on_disk=True,
    )


NO_GRAPH = models.HnswConfigDiff(m=0, payload_m=0)
"""Tensors are only ever searched within given candidates: a graph over tokens explodes
(https://github.com/qdrant/qdrant/issues/5681), and so do those for each tenant (`payload_m`), which
a vector inherits from its collection."""


def tensor_datatype(dtype: TensorDtype, version: Version) -> models.Datatype:
    """Word how a tensor's numbers are kept: int8 is Qdrant's own 8 bits, TurboQuant.

    Raises ConfigError where the server does not know it.
    """
    if dtype == "int8" and version < TEXT_QUERY:
        raise ConfigError(
            f"int8 token tensors need Qdrant 1.20; this is {version[0]}.{version[1]}: use float16"
        )
    return _DATATYPES[dtype]
