"""A collection of a Qdrant server, by REST or gRPC, or of the client's local mode."""

from retrieve_rerank.connectors.qdrant.connector import QdrantConnector

__all__ = ["QdrantConnector"]
