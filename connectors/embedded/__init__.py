"""An index in a folder, searched in-process by Qdrant Edge: no server, no account."""

from retrieve_rerank.connectors.embedded.connector import EmbeddedConnector
from retrieve_rerank.connectors.embedded.settings import EmbeddedSettings

__all__ = ["EmbeddedConnector", "EmbeddedSettings"]
