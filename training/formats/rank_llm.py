"""rank_llm's requests: a query and its candidates in their order, with scores and no labels."""

from __future__ import annotations

from collections.abc import Mapping

from retrieve_rerank.training.formats.fields import (
    Record,
    UnfitRecordError,
    identifier,
    objects,
    optional_number,
    passage,
    text,
)
from retrieve_rerank.training.formats.format import Format, ReadOptions
from retrieve_rerank.training.groups import Group, GroupText


def _recognises(record: Record) -> bool:
    return {"query", "candidates"} <= record.keys()


def _read(record: Record, options: ReadOptions) -> Group:
    query = record["query"] if isinstance(record["query"], Mapping) else {"text": record["query"]}
    candidates = (
        GroupText(
            passage(_document(each), options.template),
            id=identifier(each, "docid"),
            source=f"rank {rank}",
            teacher_score=optional_number(each, "score"),
        )
        for rank, each in enumerate(objects(record, "candidates"), start=1)
    )
    return Group(text(query, "text"), tuple(candidates), identifier(query, "qid"))


def _document(candidate: Record) -> Record:
    document = candidate.get("doc")
    if not isinstance(document, Mapping):
        raise UnfitRecordError("a candidate without a document", "expected an object in 'doc'")
    return document


RANK_LLM = Format(
    "rank-llm",
    '{"query": {"text": …, "qid": …}, "candidates": [{"docid": …, "score": …, "doc": {…}}, …]}',
    _recognises,
    _read,
    has_titles=True,
)
