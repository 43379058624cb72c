"""RAG-Retrieval's pointwise lines: a query, a text and a label; its distilled ones have a score."""

from __future__ import annotations

from collections.abc import Iterator

from retrieve_rerank.training.formats.fields import (
    Record,
    UnfitRecordError,
    identifier,
    listed,
    number,
    text,
)
from retrieve_rerank.training.formats.format import (
    LABEL_KEY,
    UNLABELLED,
    Format,
    ReadOptions,
    Row,
    WriteOptions,
)
from retrieve_rerank.training.formats.grouped import whole
from retrieve_rerank.training.groups import Group, GroupText


def _recognises(record: Record) -> bool:
    return "query" in record and "content" in record


def _read(record: Record, options: ReadOptions) -> Group:
    keys = [options.label_key] if options.label_key else [LABEL_KEY, "score"]
    key = next((key for key in keys if key in record), None)
    if key is None:
        raise UnfitRecordError(f"no label {keys[0]!r}", f"the keys there: {listed(record)}")
    label = options.label(number(record[key], key))
    judged = GroupText(text(record, "content"), label, identifier(record, "id"))
    return Group(text(record, "query"), (judged,), identifier(record, "query_id"))


def _write(group: Group, options: WriteOptions) -> Iterator[Row]:
    for each in group.texts:
        if each.label is None:
            yield UNLABELLED
        else:
            row = {"query": group.query, "content": each.text, "label": whole(each.label)}
            yield row if each.label_source is None else {**row, "label_source": each.label_source}


POINTWISE = Format(
    "pointwise",
    '{"query": …, "content": …, "label": …}',
    _recognises,
    _read,
    _write,
    one_text_a_line=True,
)
