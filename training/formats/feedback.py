"""What users said outright: which of two texts is better, or a thumb for one."""

from __future__ import annotations

from retrieve_rerank.errors import shown
from retrieve_rerank.training.formats.fields import Record, UnfitRecordError, identifier, text
from retrieve_rerank.training.formats.format import Format, ReadOptions
from retrieve_rerank.training.groups import Group, GroupText

PREFERENCE = "preference"
"""Source of two texts whose labels say which is the better one, not whether either is relevant."""

_PREFERRED = {"a": (1.0, 0.0), "b": (0.0, 1.0), "tie": (0.0, 0.0)}
_THUMBS = {"up": 1.0, "down": 0.0}


def _recognises_preference(record: Record) -> bool:
    return {"query", "a", "b", "preferred"} <= record.keys()


def _read_preference(record: Record, options: ReadOptions) -> Group:
    preferred = record.get("preferred")
    if not isinstance(preferred, str) or preferred not in _PREFERRED:
        raise UnfitRecordError(
            "no preference", f"expected a, b or tie; got {shown(f'{preferred}')}"
        )
    pair = (
        GroupText(text(record, side), label, identifier(record, f"{side}_id"), PREFERENCE)
        for side, label in zip(("a", "b"), _PREFERRED[preferred], strict=True)
    )
    return Group(text(record, "query"), tuple(pair), identifier(record, "query_id"))


def _recognises_thumb(record: Record) -> bool:
    return {"query", "text", "thumb"} <= record.keys()


def _read_thumb(record: Record, options: ReadOptions) -> Group:
    thumb = record.get("thumb")
    if not isinstance(thumb, str) or thumb not in _THUMBS:
        raise UnfitRecordError("no thumb", f"expected up or down; got {shown(f'{thumb}')}")
    judged = GroupText(text(record, "text"), _THUMBS[thumb], identifier(record, "id"), "thumb")
    return Group(text(record, "query"), (judged,), identifier(record, "query_id"))


PREFERENCES = Format(
    "preferences",
    '{"query": …, "a": …, "b": …, "preferred": "a", "b" or "tie"}',
    _recognises_preference,
    _read_preference,
)

THUMBS = Format(
    "thumbs",
    '{"query": …, "text": …, "thumb": "up" or "down"}',
    _recognises_thumb,
    _read_thumb,
)
