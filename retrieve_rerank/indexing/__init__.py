"""Documents into an index, and what is added to an index that is there."""

from retrieve_rerank.indexing.documents import index_documents

__all__ = ["index_documents"]
