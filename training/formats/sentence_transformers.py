"""The data sets that sentence-transformers trains on, a row each line.

The order of the columns counts, not their names, but for those of labels.
"""

from __future__ import annotations

from collections.abc import Iterator

from retrieve_rerank.data.records import ID_FIELDS, Reason
from retrieve_rerank.training.formats.fields import (
    Record,
    UnfitRecordError,
    listed,
    number,
    optional_numbers,
    text,
    texts,
)
from retrieve_rerank.training.formats.format import (
    NO_NEGATIVE,
    NO_POSITIVE,
    UNLABELLED,
    Format,
    ReadOptions,
    Row,
    WriteOptions,
)
from retrieve_rerank.training.formats.grouped import whole
from retrieve_rerank.training.groups import Group, GroupText

LABELS = ("label", "labels", "score", "scores")
ANCHORS = ("anchor", "query", "question", "sentence", "sentence1")
POSITIVES = ("positive", "answer", "sentence2")


def _columns(record: Record) -> list[str]:
    return [name for name in record if name not in LABELS]


def _labels_of(record: Record, options: ReadOptions) -> str:
    names = [options.label_key] if options.label_key else LABELS
    found = next((name for name in names if name in record), None)
    if found is None:
        expected = " or ".join(map(repr, names))
        raise UnfitRecordError(f"no label {expected}", f"the keys there: {listed(record)}")
    return found


def _two_columns(record: Record, labels: str) -> tuple[str, str]:
    columns = [name for name in record if name != labels]
    if len(columns) != 2:
        detail = f"expected a query, what is judged, and labels; the keys: {listed(record)}"
        raise UnfitRecordError("not two columns beside the labels", detail)
    return columns[0], columns[1]


def _is_tuple(record: Record) -> bool:
    columns = _columns(record)
    are_texts = all(isinstance(record[name], str) for name in columns)
    named = len(columns) > 1 and columns[0] in ANCHORS
    has_list = all(isinstance(record[name], list) for name in record if name in LABELS)
    tells = named and (columns[1] in POSITIVES or columns[-1].startswith("negative"))
    return are_texts and tells and has_list


def _read_tuple(record: Record, options: ReadOptions) -> Group:
    columns = _columns(record)
    if len(columns) < 2:
        raise UnfitRecordError("not two columns", f"the keys there: {listed(record)}")
    query, *rest = (text(record, name) for name in columns)
    labels = next((name for name in LABELS if name in record), "scores")
    scores = optional_numbers(record, labels, count=len(rest))
    judged = (
        GroupText(each, 1.0 if place == 0 else 0.0, source=name, teacher_score=score)
        for place, (each, name, score) in enumerate(zip(rest, columns[1:], scores, strict=True))
    )
    return Group(query, tuple(judged))


def _is_pair(record: Record) -> bool:
    columns = _columns(record)
    judged = len(columns) == 2 and len(record) == 3 and columns[0] not in ID_FIELDS
    return judged and all(isinstance(record[name], str) for name in columns)


def _read_pair(record: Record, options: ReadOptions) -> Group:
    labels = _labels_of(record, options)
    query, judged = _two_columns(record, labels)
    label = options.label(number(record[labels], labels))
    return Group(text(record, query), (GroupText(text(record, judged), label),))


def _is_list(record: Record) -> bool:
    columns = _columns(record)
    judged = len(columns) == 2 and len(record) == 3 and isinstance(record[columns[0]], str)
    return judged and all(isinstance(record[name], list) for name in record if name != columns[0])


def _read_list(record: Record, options: ReadOptions) -> Group:
    labels = _labels_of(record, options)
    query, documents = _two_columns(record, labels)
    listed_texts = texts(record, documents)
    values = optional_numbers(record, labels, count=len(listed_texts))
    judged = (
        GroupText(each, None if value is None else options.label(value))
        for each, value in zip(listed_texts, values, strict=True)
    )
    return Group(text(record, query), tuple(judged))


def _write_triplets(group: Group, options: WriteOptions) -> Iterator[Row]:
    yield from _unlabelled(group)
    if not group.positives or not group.negatives:
        yield NO_NEGATIVE if group.positives else NO_POSITIVE
    for positive in group.positives:
        for negative in group.negatives:
            yield {"anchor": group.query, "positive": positive.text, "negative": negative.text}


def _write_tuples(group: Group, options: WriteOptions) -> Iterator[Row]:
    yield from _unlabelled(group)
    count, negatives = options.negatives, group.negatives
    if not group.positives:
        yield NO_POSITIVE
    elif len(negatives) < count:
        yield Reason(f"fewer than {count} texts with a label of 0 or below")
    else:
        yield from [Reason(f"negative beyond the first {count}")] * (len(negatives) - count)
        columns = {f"negative_{n}": each.text for n, each in enumerate(negatives[:count], start=1)}
        for positive in group.positives:
            yield {"anchor": group.query, "positive": positive.text, **columns}


def _write_pairs(group: Group, options: WriteOptions) -> Iterator[Row]:
    yield from _unlabelled(group)
    for each in group.texts:
        if each.label is not None:
            yield {"query": group.query, "document": each.text, "label": whole(each.label)}


def _write_lists(group: Group, options: WriteOptions) -> Iterator[Row]:
    yield from _unlabelled(group)
    labelled = [each for each in group.texts if each.label is not None]
    if labelled:
        yield {
            "query": group.query,
            "documents": [each.text for each in labelled],
            "labels": [whole(each.label) for each in labelled],
        }


def _unlabelled(group: Group) -> list[Reason]:
    return [UNLABELLED for each in group.texts if each.label is None]


TRIPLET = Format(
    "triplet",
    '{"anchor": …, "positive": …, "negative": …}',
    lambda record: _is_tuple(record) and len(_columns(record)) <= 3,
    _read_tuple,
    _write_triplets,
)
N_TUPLE = Format(
    "n-tuple",
    '{"anchor": …, "positive": …, "negative_1": …, …, "negative_n": …, "scores"?: […]}',
    _is_tuple,
    _read_tuple,
    _write_tuples,
)
LABELED_PAIR = Format(
    "labeled-pair",
    '{"query": …, "document": …, "label" or "score": …}',
    _is_pair,
    _read_pair,
    _write_pairs,
    one_text_a_line=True,
)
LABELED_LIST = Format(
    "labeled-list",
    '{"query": …, "documents": […], "labels" or "scores": […]}',
    _is_list,
    _read_list,
    _write_lists,
)
