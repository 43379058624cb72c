"""From a record to a document: which field is the id, the text, the title; the rest is metadata."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeAlias

from retrieve_rerank.errors import shown
from retrieve_rerank.text.field_paths import value_at, without
from retrieve_rerank.text.template import readable
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


class Note(NamedTuple):
    """What is not taken over as it stands in a source, in words as a Reason has them."""

    problem: str
    detail: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.detail}"


Found: TypeAlias = Document | Reason | Note
"""What stands in one place of a source: a document or the reason why there is none, and notes."""


class Content(NamedTuple):
    """What a record says, whatever its id."""

    text: str
    metadata: dict[str, Any]
    """The title among it."""
    has_text: bool
    """Whether any field is the text; one that is empty is there."""


def parse_json(line: bytes) -> dict[str, Any] | Reason:
    """Read one line of JSON Lines; one with a field that stands twice in an object is refused."""
    try:
        record = json.loads(
            line.decode(), parse_constant=_refuse_constant, object_pairs_hook=_fields_once
        )
    except UnicodeDecodeError as exc:
        return Reason("invalid UTF-8", f"byte {exc.start + 1} of the line")
    except RecursionError:
        return Reason("malformed JSON", "nested too deeply")
    except _FieldTwiceError as exc:
        return Reason("field that stands twice", str(exc))
    except ValueError as exc:
        return Reason("malformed JSON", str(exc))
    if not isinstance(record, dict):
        return Reason("malformed JSON", f"expected an object; got {_kind(record)}")
    return record


def read_document(record: Mapping[str, Any], fields: Fields) -> Iterator[Found]:
    """Make a document of a record, or say why that cannot be; notes go before it."""
    flat, notes = _flat(record)
    yield from notes
    record, fields = flat, _beside(fields, record, flat)
    id_field = _find(record, fields.id, ID_FIELDS)
    id_ = value_at(record, id_field) if id_field else None
    if isinstance(id_, int) and not isinstance(id_, bool):
        id_ = str(id_)
    if id_field is None or id_ is None:
        yield Reason("missing id", f"no field {fields.id or ' or '.join(ID_FIELDS)}")
    elif not isinstance(id_, str):
        yield Reason("id of another type", f"expected text or an integer; got {_kind(id_)}")
    elif not id_.strip():
        yield Reason("empty id")
    else:
        yield from _document(id_, without(record, id_field), fields)


def read_content(record: Mapping[str, Any], fields: Fields) -> Content | Reason:
    """Read text and metadata, among them the title; nulls are left out."""
    flat, _ = _flat(record)
    return _content(flat, _beside(fields, record, flat))


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded; lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def keep_within(
    metadata: Mapping[str, Any], name: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Keep fields whose names are taken one level deeper, where they are `name.FIELD`."""
    deeper = metadata.get(name)
    return {**metadata, name: {**(deeper if isinstance(deeper, Mapping) else {}), **fields}}


def _document(id_: str, record: Mapping[str, Any], fields: Fields) -> Iterator[Found]:
    content = _content(record, fields)
    if isinstance(content, Reason):
        yield content
        return
    document = Document(id_, content.text, content.metadata)
    if not document.text.strip() and not document.title.strip():
        yield Reason("empty text", "neither a text nor a title")
    elif not is_unicode(id_):
        yield Reason("invalid Unicode", "half of a surrogate pair in the id")
    else:
        said = json.dumps([document.text, content.metadata], ensure_ascii=False)
        if not is_unicode(said):
            yield Note("half of a surrogate pair", 'read as "?"')
            document = Document(id_, *json.loads(readable(said)))
        yield document


def _content(record: Mapping[str, Any], fields: Fields) -> Content | Reason:
    text_field = _find(record, fields.text, TEXT_FIELDS)
    title_field = _find(record, fields.title, TITLE_FIELDS)
    text = value_at(record, text_field) if text_field else None
    has_text = text is not None
    text = text or ""
    if not isinstance(text, str):
        return Reason("text of another type", f"expected text; got {_kind(text)}")
    title = value_at(record, title_field) if title_field else None
    metadata = {"title": title} if title else {}
    for field in filter(None, (text_field, title_field)):
        record = without(record, field)
    for name, value in record.items():
        if value is not None:
            metadata[name] = value
    if problem := _unfit(metadata, 0):
        return Reason("unfit metadata", problem)
    return Content(text, metadata, has_text)


def _flat(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Note]]:
    """Put the fields of nested metadata beside the record's own, and say what could not be."""
    if "id_" in record:  # LlamaIndex keeps templates and settings of its own beside these three
        resource = record.get("text_resource")
        text = resource.get("text") if isinstance(resource, Mapping) else record.get("text")
        record = {"id": record["id_"], "text": text, "metadata": record.get("metadata")}
    notes = []
    for field in METADATA_FIELDS:
        nested = record.get(field)
        if isinstance(nested, Mapping):
            own = {n: v for n, v in record.items() if n != field and v is not None}
            taken = {n: v for n, v in nested.items() if n == field or own.get(n, v) != v}
            record = {**{n: v for n, v in nested.items() if n not in taken}, **own}
            if taken:
                record = keep_within(record, field, taken)
                names = shown(", ".join(f"{field}.{name}" for name in taken))
                problem = f"a field of the same name beside {field} and in it"
                notes.append(Note(problem, f"both are kept, the latter as {names}"))
    if not all(name.strip() for name in record):
        record = {name: value for name, value in record.items() if name.strip()}
        notes.append(Note("a field without a name", "left out"))
    return record, notes


def _beside(fields: Fields, record: Mapping[str, Any], flat: Mapping[str, Any]) -> Fields:
    """Name what is said to be in `metadata` as it is named where it stands beside it."""

    def beside(named: str | None) -> str | None:
        head, _, rest = (named or "").partition(".")
        nested = head in METADATA_FIELDS and isinstance(record.get(head), Mapping)
        return rest if named and nested and value_at(flat, named) is None else named

    return Fields(beside(fields.id), beside(fields.text), beside(fields.title))


def _find(record: Mapping[str, Any], named: str | None, common: tuple[str, ...]) -> str | None:
    if named is not None:
        return named
    return next((name for name in common if record.get(name) is not None), None)


class _FieldTwiceError(Exception):
    """An object has two fields of one name, of which Python's reader would keep the last."""


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise _FieldTwiceError(shown(names.most_common(1)[0][0]))
    return record


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
