"""FlagEmbedding's lines: positives and negatives, perhaps a teacher's scores and prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retrieve_rerank.training.formats.fields import (
    Record,
    identifier,
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
from retrieve_rerank.training.formats.grouped import read_prompts
from retrieve_rerank.training.groups import Group, GroupText


def _recognises(record: Record) -> bool:
    one_score_list = ("pos_scores" in record) != ("neg_scores" in record)
    return {"query", "pos", "neg"} <= record.keys() and not one_score_list


def _read(record: Record, options: ReadOptions) -> Group:
    judged: list[GroupText] = []
    for kind, label in (("pos", 1.0), ("neg", 0.0)):
        of_kind = texts(record, kind)
        scores = optional_numbers(record, f"{kind}_scores", count=len(of_kind))
        judged += (
            GroupText(each, label, source=kind, teacher_score=score)
            for each, score in zip(of_kind, scores, strict=True)
        )
    query_id = identifier(record, "query_id")
    return Group(text(record, "query"), tuple(judged), query_id, read_prompts(record))


def _write(group: Group, options: WriteOptions) -> Iterator[Row]:
    positives, negatives = group.positives, group.negatives
    yield from [UNLABELLED] * (len(group.texts) - len(positives) - len(negatives))
    if not positives or not negatives:
        yield NO_NEGATIVE if positives else NO_POSITIVE
        return
    judged = (*positives, *negatives)
    pos = [each.text for each in positives]
    row: dict[str, Any] = {
        "query": group.query,
        "pos": pos,
        "neg": [each.text for each in negatives],
    }
    scores = [float(each.teacher_score) for each in judged if each.teacher_score is not None]
    if len(scores) == len(judged):  # knowledge distillation needs all of them
        row |= {"pos_scores": scores[: len(pos)], "neg_scores": scores[len(pos) :]}
    yield {**row, **group.prompts}


FLAGEMBEDDING = Format(
    "flagembedding",
    '{"query": …, "pos": […], "neg": […], "pos_scores"?: […], "neg_scores"?: […], "prompt"?: …}',
    _recognises,
    _read,
    _write,
)
