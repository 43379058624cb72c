"""Documents on their way into an index: checked, copied as plain JSON, hashed, fields listed."""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from retrieve_rerank.base import Scalar
from retrieve_rerank.connectors.dates import instant
from retrieve_rerank.errors import InputError, shown
from retrieve_rerank.types import Document

MAX_DEPTH = 50  # of nested metadata; Qdrant's own reader gives up at 128
_INT64 = range(-(2**63), 2**63)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "float"}


class Leaf(NamedTuple):
    """One value within a document's metadata."""

    name: str
    """As filters call its field: keys joined by dots, lists passed over (`authors.name`)."""
    path: str
    """The same with lists and odd keys marked, as Qdrant writes it (`authors[].name`)."""
    value: Scalar


class Record(NamedTuple):
    """A document as it is stored."""

    id: str
    text: str
    metadata: dict[str, Any]
    content_hash: str
    """Changes whenever the text or the metadata does."""

    @property
    def document(self) -> Document:
        """The document again."""
        return Document(self.id, self.text, self.metadata)


def record(document: Document) -> Record:
    """Check a document and copy it; raise InputError, naming its id and field, if it is unfit."""
    for name, value in (("id", document.id), ("text", document.text)):
        if not isinstance(value, str):
            raise InputError(
                f"document {document.id!r:.80}: expected a text as {name}, got {value!r:.80}"
            )
    if not document.id:
        raise InputError(f"a document needs an id of at least one character: {document!r:.200}")
    _check(document.metadata, f"document {shown(document.id)}: metadata", depth=0)
    content = json.dumps([document.text, dict(document.metadata)], ensure_ascii=False)
    try:
        document.id.encode()
        digest = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    except UnicodeEncodeError as exc:
        raise InputError(
            f"document {shown(document.id)}: not valid Unicode ({exc.reason}); "
            "read its source as UTF-8 with errors='replace'"
        ) from exc
    return Record(document.id, document.text, json.loads(content)[1], digest)


def uuid_of(namespace: uuid.UUID, name: str) -> uuid.UUID:
    """Make a UUID of a name, as `uuid.uuid5` does, and of a text that is not valid Unicode.

    No document has such an id; asked for, it is to be unknown rather than an error.
    """
    named = namespace.bytes + name.encode(errors="surrogatepass")
    digest = hashlib.sha1(named, usedforsecurity=False).digest()  # as RFC 9562 has version 5
    return uuid.UUID(bytes=digest[:16], version=5)


def leaves(metadata: Mapping[str, Any]) -> Iterator[Leaf]:
    """List the values in metadata that filters can ask for; those within lists one by one."""
    for key, value in metadata.items():
        if '"' not in key and "\\" not in key:  # Qdrant's paths have no way to write these
            yield from _leaves(value, key, path_key(key))


def path_key(key: str) -> str:
    """Write a key as part of a path: in quotes if it is an odd one."""
    return key if _PLAIN_KEY.fullmatch(key) else f'"{key}"'


def type_of(value: Scalar) -> str:
    """Name the type of a value: string, date, boolean, integer or float."""
    if isinstance(value, str) and instant(value) is not None:
        return "date"
    return next(name for kind, name in _TYPES.items() if isinstance(value, kind))


def _leaves(value: Any, name: str, path: str) -> Iterator[Leaf]:
    if isinstance(value, dict):
        for inner in leaves(value):
            yield Leaf(f"{name}.{inner.name}", f"{path}.{inner.path}", inner.value)
    elif isinstance(value, list):
        for item in value:  # a path reaches into a list of values, not of lists or of objects
            yield from _leaves(item, name, path + "[]" * isinstance(item, dict | list))
    elif value is not None:
        yield Leaf(name, path, value)


def _check(value: Any, where: str, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InputError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict) or (depth == 0 and isinstance(value, Mapping)):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(f"{where}: keys must be texts, got {key!r:.80}")
            _check(inner, f"{where} field {shown(key)}", depth=depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, where, depth=depth + 1)
    elif isinstance(value, bool | str) or value is None:
        return
    elif isinstance(value, int):
        if value not in _INT64:
            raise InputError(f"{where}: {value} does not fit 64 bits; give it as a text")
    elif not isinstance(value, float):
        raise InputError(f"{where}: {type(value).__name__} is not a JSON type: {value!r:.80}")
    elif not math.isfinite(value):
        raise InputError(f"{where}: JSON has no {value}; leave the field out or use null")
