"""Groups as this project stores them, and RAG-Retrieval (July 2025) reads and writes them.

A hit that lacks the label among others that have it is irrelevant, as RAG-Retrieval takes it;
hence unlabelled texts stand beside the hits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retrieve_rerank.training.formats.fields import (
    Record,
    UnfitRecordError,
    identifier,
    listed,
    objects,
    optional_number,
    text,
)
from retrieve_rerank.training.formats.format import (
    LABEL_KEY,
    Format,
    ReadOptions,
    Row,
    WriteOptions,
)
from retrieve_rerank.training.groups import Group, GroupText

_PROMPTS = ("prompt", "query_prompt", "passage_prompt")


def _recognises(record: Record) -> bool:
    return "query" in record and "hits" in record


def _read(record: Record, options: ReadOptions) -> Group:
    hits, key = objects(record, "hits"), options.label_key or LABEL_KEY
    unlabelled = objects(record, "unlabelled") if "unlabelled" in record else []
    if hits and not any(key in hit for hit in hits):
        raise UnfitRecordError(
            f"no hit has the label {key!r}", f"the keys of the first: {listed(hits[0])}"
        )
    return Group(
        text(record, "query"),
        (
            *(_read_hit(hit, _label(hit, key, options)) for hit in hits),
            *(_read_hit(hit, None) for hit in unlabelled),
        ),
        identifier(record, "query_id"),
        read_prompts(record),
        text(record, "user") if record.get("user") is not None else "",
    )


def _label(hit: Record, key: str, options: ReadOptions) -> float | None:
    label = 0.0 if key not in hit else optional_number(hit, key)
    return None if label is None else options.label(label)


def _read_hit(hit: Record, label: float | None) -> GroupText:
    return GroupText(
        text(hit, "content"),
        label,
        identifier(hit, "id"),
        text(hit, "source") if hit.get("source") is not None else None,
        optional_number(hit, "teacher_score"),
        _rank(hit),
        text(hit, "label_source") if hit.get("label_source") is not None else None,
    )


def _rank(hit: Record) -> int | None:
    """Read a rank as we write it; other files may mean something else by the name."""
    rank = hit.get("rank")
    return rank if isinstance(rank, int) and rank >= 1 else None


def read_prompts(record: Record) -> dict[str, str]:
    """Read the prompts that FlagEmbedding has, which are kept under the same names."""
    return {name: text(record, name) for name in _PROMPTS if record.get(name) is not None}


def _write(group: Group, options: WriteOptions) -> Iterator[Row]:
    yield grouped_row(group)


def grouped_row(group: Group) -> dict[str, Any]:
    """Return a group as a record of this format."""
    row: dict[str, Any] = {"query": group.query}
    if group.query_id is not None:
        row["query_id"] = group.query_id
    if group.user:
        row["user"] = group.user
    row |= group.prompts
    row["hits"] = [_write_hit(each) for each in group.texts if each.label is not None]
    if unlabelled := [_write_hit(each) for each in group.texts if each.label is None]:
        row["unlabelled"] = unlabelled
    return row


def _write_hit(each: GroupText) -> dict[str, Any]:
    hit = {
        "content": each.text,
        "label": whole(each.label),
        "id": each.id,
        "source": each.source,
        "teacher_score": None if each.teacher_score is None else float(each.teacher_score),
        "rank": each.rank,
        "label_source": each.label_source,
    }
    return {name: value for name, value in hit.items() if value is not None}


def whole(label: float | None) -> float | None:
    """Return a label as an int where it is one, as files have it; numpy's numbers as Python's."""
    if label is None:
        return None
    return int(label) if float(label).is_integer() else float(label)


GROUPED = Format(
    "grouped",
    '{"query": …, "hits": [{"content": …, "label": …}, …]}',
    _recognises,
    _read,
    _write,
)
