"""Tevatron's lines, which RankLLaMA and RankingGPT's second stage are trained on."""

from __future__ import annotations

from collections.abc import Iterator

from retrieve_rerank.training.formats.fields import Record, identifier, objects, passage, text
from retrieve_rerank.training.formats.format import (
    NO_POSITIVE,
    UNLABELLED,
    Format,
    ReadOptions,
    Row,
    WriteOptions,
)
from retrieve_rerank.training.groups import Group, GroupText

_KINDS = (("positive_passages", 1.0), ("negative_passages", 0.0))


def _recognises(record: Record) -> bool:
    return {"query", "positive_passages"} <= record.keys()


def _read(record: Record, options: ReadOptions) -> Group:
    judged = (
        GroupText(passage(each, options.template), label, identifier(each, "docid"), kind)
        for kind, label in _KINDS
        if kind in record
        for each in objects(record, kind)
    )
    return Group(text(record, "query"), tuple(judged), identifier(record, "query_id"))


def _write(group: Group, options: WriteOptions) -> Iterator[Row]:
    positives, negatives = group.positives, group.negatives
    yield from [UNLABELLED] * (len(group.texts) - len(positives) - len(negatives))
    if not positives:
        yield NO_POSITIVE
        return
    yield {
        "query_id": group.query_id or "",
        "query": group.query,
        "positive_passages": [_passage(each) for each in positives],
        "negative_passages": [_passage(each) for each in negatives],
    }


def _passage(each: GroupText) -> dict[str, str]:
    return {"docid": each.id or "", "title": "", "text": each.text}


TEVATRON = Format(
    "tevatron",
    '{"query_id": …, "query": …, "positive_passages": [{"docid": …, "title"?: …, "text": …}, …],'
    ' "negative_passages": […]}',
    _recognises,
    _read,
    _write,
    has_titles=True,
)
