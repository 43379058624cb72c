"""What can be set, where it is read from, and the retriever that is built from it."""

from retrieve_rerank.settings.schema import Settings
from retrieve_rerank.settings.sources import load_settings

__all__ = ["Settings", "load_settings"]
