"""Queries that the index's own documents ask, for collections without judgments."""

from retrieve_rerank.training.queries.cut_search import without_spans
from retrieve_rerank.training.queries.cuts import Cut, Cuts
from retrieve_rerank.training.queries.folder import read_cuts, write_folder
from retrieve_rerank.training.queries.generate import Generated, Yield, generate
from retrieve_rerank.training.queries.proposals import ALL_SOURCES, SOURCES, Source
from retrieve_rerank.training.queries.written import choose_documents, write_queries

__all__ = [
    "ALL_SOURCES",
    "SOURCES",
    "Cut",
    "Cuts",
    "Generated",
    "Source",
    "Yield",
    "choose_documents",
    "generate",
    "read_cuts",
    "without_spans",
    "write_folder",
    "write_queries",
]
