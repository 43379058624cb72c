"""From a record to a document: which field is the id, the text, the title; the rest is metadata.

Knows nothing of files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from retrieve_rerank.types import Document

ID_FIELDS = ("_id", "id", "docid", "doc_id", "document_id", "passage_id", "pid")
TEXT_FIELDS = ("text", "contents", "content", "page_content", "passage", "body")
TITLE_FIELDS = ("title",)
METADATA_FIELDS = ("metadata", "meta")
"""Their fields stand beside the record's own, as LangChain, LlamaIndex and Haystack write them."""

MAX_DEPTH = 50
"""Levels of nested metadata that are read."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the fields to read; None finds them among the names in common use."""

    id: str | None = None
    text: str | None = None
    title: str | None = None


class Reason(NamedTuple):
    """Why a record cannot be read: what is wrong in words that many records share, and where."""

    problem: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.problem}: {self.detail}" if self.detail else self.problem


def parse_json(line: bytes) -> dict[str, Any] | Reason:
    """Read one line of JSON Lines."""
    try:
        record = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        return Reason("invalid UTF-8", f"byte {exc.start + 1} of the line")
    except RecursionError:
        return Reason("malformed JSON", "nested too deeply")
    except ValueError as exc:
        return Reason("malformed JSON", str(exc))
    if not isinstance(record, dict):
        return Reason("malformed JSON", f"expected an object; got {_kind(record)}")
    return record


def to_document(record: Mapping[str, Any], fields: Fields) -> Document | Reason:
    """Make a document of a record."""
    record = _plain(record)
    id_field = _find(record, fields.id, ID_FIELDS)
    id_ = record.get(id_field)
    if isinstance(id_, int) and not isinstance(id_, bool):
        id_ = str(id_)
    if id_ is None:
        return Reason("missing id", f"no field {fields.id or ' or '.join(ID_FIELDS)}")
    if not isinstance(id_, str):
        return Reason("id of another type", f"expected text or an integer; got {_kind(id_)}")
    if not id_.strip():
        return Reason("empty id")
    content = read_content({name: record[name] for name in record if name != id_field}, fields)
    if isinstance(content, Reason):
        return content
    document = Document(id_, *content)
    if not document.text.strip() and not document.title.strip():
        return Reason("empty text", "neither a text nor a title")
    if not is_unicode(id_):
        return Reason("invalid Unicode", "half of a surrogate pair")
    return document


def read_content(record: Mapping[str, Any], fields: Fields) -> tuple[str, dict[str, Any]] | Reason:
    """Read text and metadata, among them the title; nulls are left out."""
    record = _plain(record)
    text_field = _find(record, fields.text, TEXT_FIELDS)
    title_field = _find(record, fields.title, TITLE_FIELDS)
    text = record.get(text_field) or ""
    if not isinstance(text, str):
        return Reason("text of another type", f"expected text; got {_kind(text)}")
    title = record.get(title_field)
    metadata = {"title": title} if title else {}
    for name, value in record.items():
        if value is not None and name not in (text_field, title_field):
            metadata[name] = value
    if not is_unicode(f"{text}{json.dumps(metadata, ensure_ascii=False)}"):
        return Reason("invalid Unicode", "half of a surrogate pair")
    if problem := _unfit(metadata, 0):
        return Reason("unfit metadata", problem)
    return text, metadata


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded; lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if "id_" in record:  # LlamaIndex keeps templates and settings of its own beside these three
        resource = record.get("text_resource")
        text = resource.get("text") if isinstance(resource, Mapping) else record.get("text")
        record = {"id": record["id_"], "text": text, "metadata": record.get("metadata")}
    for field in METADATA_FIELDS:
        nested = record.get(field)
        if isinstance(nested, Mapping):
            record = {**nested, **{name: record[name] for name in record if name != field}}
    return record


def _find(record: Mapping[str, Any], named: str | None, common: tuple[str, ...]) -> str:
    if named is not None:
        return named
    return next((name for name in common if record.get(name) is not None), "")


def _unfit(value: Any, depth: int) -> str:
    """Say what no index can store of a JSON value; empty where all is well."""
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"the number {value} does not fit 64 bits"
    if isinstance(value, float) and not math.isfinite(value):  # which 1e400 is read as
        return f"{value} is no number that JSON has"
    children = value.values() if isinstance(value, dict) else value
    if isinstance(children, str) or not isinstance(children, Iterable):
        return ""
    return next(filter(None, (_unfit(child, depth + 1) for child in children)), "")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names[type(value)]
