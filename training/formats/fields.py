"""Reading the fields of a record, each with a reason where it is not what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from retrieve_rerank.data.records import Fields, Reason, read_content
from retrieve_rerank.errors import shown
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Document

Record: TypeAlias = Mapping[str, Any]

_SEGMENT = "segment"
"""What MS MARCO v2 calls the text of a passage."""


class UnfitRecordError(Exception):
    """A record is not what its format says; `reason` tells how."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(problem, detail)
        self.reason = Reason(problem, detail)


def text(record: Record, field: str) -> str:
    """Read a text, which may be empty."""
    value = record.get(field)
    if not isinstance(value, str):
        raise UnfitRecordError(f"no text in {field!r}", _got("a text", value))
    return value


def texts(record: Record, field: str) -> list[str]:
    """Read a list of texts; a lone text is a list of one."""
    value = record.get(field)
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UnfitRecordError(f"no list of texts in {field!r}", _got("a list of texts", value))
    return value


def objects(record: Record, field: str) -> list[Record]:
    """Read a list of objects."""
    value = record.get(field)
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise UnfitRecordError(f"no list of objects in {field!r}", _got("a list of objects", value))
    return value


def number(value: object, field: str) -> float:
    """Read a number, true and false as 1 and 0, or a text that is one, as RAG-Retrieval writes."""
    try:
        read = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        read = math.nan
    if not math.isfinite(read):
        raise UnfitRecordError(f"no number in {field!r}", _got("a number", value))
    return read


def optional_number(record: Record, field: str) -> float | None:
    """Read a number that may be left out."""
    return None if record.get(field) is None else number(record[field], field)


def optional_numbers(record: Record, field: str, *, count: int) -> Sequence[float | None]:
    """Read `count` numbers, one for each text; None each where the field is left out."""
    values = record.get(field)
    if values is None:
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        got = f"{len(values):,}" if isinstance(values, list) else shown(str(values))
        raise UnfitRecordError(
            f"not one number for each text in {field!r}", f"expected {count:,}; got {got}"
        )
    return [number(value, field) for value in values]


def identifier(record: Record, *fields: str) -> str | None:
    """Read the first id there is, a text or a whole number; None where there is none."""
    for field in fields:
        value = record.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return None


def passage(record: Record, template: Template) -> str:
    """Read a passage with a title or without, as the template lays them out."""
    content = read_content(record, Fields(text=_SEGMENT if _SEGMENT in record else None))
    if isinstance(content, Reason):
        raise UnfitRecordError(*content)
    if content.has_text or content.metadata.get("title"):
        return template.render(Document("", content.text, content.metadata))
    raise UnfitRecordError("a passage without a text", f"its keys: {listed(record)}")


def listed(record: Record) -> str:
    """List the keys of a record, for a message."""
    return shown(", ".join(map(str, record)), 200) if record else "none"


def _got(expected: str, value: object) -> str:
    return f"expected {expected}; got {'nothing' if value is None else shown(str(value))}"
