"""LangChain: a search as a retriever, a reranker as a document compressor or a cross-encoder."""

from retrieve_rerank.langchain.compressor import RerankDocumentCompressor
from retrieve_rerank.langchain.cross_encoder import RerankCrossEncoder
from retrieve_rerank.langchain.retriever import RetrieveRerankRetriever

__all__ = ["RerankCrossEncoder", "RerankDocumentCompressor", "RetrieveRerankRetriever"]
