"""Formats of training data, a module each, and the telling of them apart."""

from __future__ import annotations

from retrieve_rerank.errors import InputError
from retrieve_rerank.training.formats.feedback import PREFERENCES, THUMBS
from retrieve_rerank.training.formats.fields import Record, listed
from retrieve_rerank.training.formats.flagembedding import FLAGEMBEDDING
from retrieve_rerank.training.formats.format import Format
from retrieve_rerank.training.formats.grouped import GROUPED
from retrieve_rerank.training.formats.pointwise import POINTWISE
from retrieve_rerank.training.formats.rag_retrieval import RAG_RETRIEVAL
from retrieve_rerank.training.formats.rank_llm import RANK_LLM
from retrieve_rerank.training.formats.rankinggpt import RANKINGGPT
from retrieve_rerank.training.formats.sentence_transformers import (
    LABELED_LIST,
    LABELED_PAIR,
    N_TUPLE,
    TRIPLET,
)
from retrieve_rerank.training.formats.tevatron import TEVATRON

FORMATS = {
    format.name: format
    for format in (
        GROUPED,
        POINTWISE,
        FLAGEMBEDDING,
        RAG_RETRIEVAL,
        TEVATRON,
        RANKINGGPT,
        RANK_LLM,
        PREFERENCES,
        THUMBS,
        TRIPLET,
        N_TUPLE,
        LABELED_PAIR,
        LABELED_LIST,
    )
}
"""Name -> format, in the order in which they are tried: the first that recognises a line has it."""

WRITTEN = tuple(name for name, format in FORMATS.items() if format.write is not None)


def recognise(record: Record, *, where: str) -> Format:
    """Tell the format of a line by its keys; raise InputError where it has none of them."""
    for format in FORMATS.values():
        if format.recognises(record):
            return format
    expected = "; ".join(f"{format.name} {format.shape}" for format in FORMATS.values())
    raise InputError(
        f"{where}: no known form of training data; its keys: {listed(record)}. Expected one of: "
        f"{expected}. Where the order of the columns alone tells, name the format"
    )
