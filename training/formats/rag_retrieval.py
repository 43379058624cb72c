"""RAG-Retrieval's lines until February 2025: positives, perhaps negatives; scores are labels."""

from __future__ import annotations

from retrieve_rerank.training.formats.fields import (
    Record,
    identifier,
    optional_numbers,
    text,
    texts,
)
from retrieve_rerank.training.formats.format import Format, ReadOptions
from retrieve_rerank.training.groups import Group, GroupText


def _recognises(record: Record) -> bool:
    return {"query", "pos"} <= record.keys()


def _read(record: Record, options: ReadOptions) -> Group:
    judged: list[GroupText] = []
    pos_scores = "pos_scores" if "pos_scores" in record else "scores"
    for kind, field, label in (("pos", pos_scores, 1.0), ("neg", "neg_scores", 0.0)):
        of_kind = texts(record, kind) if kind == "pos" or record.get(kind) is not None else []
        scores = optional_numbers(record, field, count=len(of_kind))
        judged += (
            GroupText(each, label if score is None else options.label(score), source=kind)
            for each, score in zip(of_kind, scores, strict=True)
        )
    return Group(text(record, "query"), tuple(judged), identifier(record, "query_id"))


RAG_RETRIEVAL = Format(
    "rag-retrieval-a",
    '{"query": …, "pos": […], "neg"?: […], "pos_scores"?: […], "neg_scores"?: […]}',
    _recognises,
    _read,
)
