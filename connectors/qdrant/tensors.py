"""Token tensors beside the documents of a collection: a multivector, which the server scores."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from retrieve_rerank.base import TensorDtype, TensorSettings, TokenTensor
from retrieve_rerank.connectors.qdrant.added import TOKEN_TENSORS, Place
from retrieve_rerank.connectors.qdrant.additions import Additions
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.connectors.qdrant.points import fit_tensor, wire_size
from retrieve_rerank.connectors.qdrant.schema import NO_GRAPH, tensor_datatype, tensor_vectors
from retrieve_rerank.connectors.qdrant.versions import TEXT_QUERY, Version


class Tensors(Additions[TensorSettings, TokenTensor]):
    """The token tensors of a collection; raises ConfigError for int8 before Qdrant 1.20."""

    kind = TOKEN_TENSORS

    @property
    def dtype(self) -> TensorDtype:
        """The most compact type that the server has."""
        return "int8" if self._collection.state.version >= TEXT_QUERY else "float16"

    def vectors(self, place: Place, settings: TensorSettings, version: Version) -> dict[str, Any]:
        """Word the multivector."""
        datatype = tensor_datatype(settings.dtype, version)
        return {"vectors_config": {place.vector: tensor_vectors(settings.dimension, datatype)}}

    def room(
        self, place: Place, settings: TensorSettings, collection: str, version: Version
    ) -> Steps[None]:
        """Add the multivector, without a graph over it."""
        datatype = tensor_datatype(settings.dtype, version)
        config = models.DenseVectorConfig(
            size=settings.dimension,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            ),
            datatype=models.VectorStorageDatatype(datatype.value),
        )
        yield Call(
            "create_vector_name",
            {
                "collection_name": collection,
                "vector_name": place.vector,
                "vector_name_config": models.DenseVectorNameConfig(dense=config),
            },
        )
        # It takes neither, and so the collection's would hold: a graph over tokens, and scores of
        # quantised tokens, which a copy in memory would be made for.
        diff = models.VectorParamsDiff(
            hnsw_config=NO_GRAPH, on_disk=True, quantization_config=models.Disabled.DISABLED
        )
        arguments = {"collection_name": collection, "vectors_config": {place.vector: diff}}
        yield Call("update_collection", arguments)

    def vector(self, item: TokenTensor) -> list[list[float]]:
        """Average neighbouring tokens until they are as few as Qdrant takes."""
        return fit_tensor(item.tokens).tolist()  # type: ignore[no-any-return]  # of two dimensions

    def size(self, item: TokenTensor) -> int:
        """Estimate the bytes of its numbers."""
        return wire_size(item.tokens.size)
