"""What a model reads of a document: a template over its fields."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from retrieve_rerank.errors import ConfigError, InputError, shown
from retrieve_rerank.text.field_paths import as_text, value_at
from retrieve_rerank.types import Document

NAMED_DOCUMENTS = 5
"""How many a note lists."""

_FIELD = re.compile(r"\{([\w.\-]+)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{field}` in it: `{text}`, `{id}`, or any field of the metadata (`{title}`).

    `{author.name}` is the field of that name, else `name` within `author`; a field that a document
    lacks is empty, and of a list or an object each value stands in a line. Only fields are
    replaced, so that neither a template nor a document can run anything. Raises ConfigError for a
    template without a field, or with a brace that is not closed.
    """

    pattern: str = "{title} {text}"

    def __post_init__(self) -> None:
        depth = 0
        for character in self.pattern:
            depth += (character == "{") - (character == "}")
            if depth < 0:
                break
        if depth != 0:
            raise ConfigError(f"the template {self.pattern!r} has a brace without its counterpart")
        if not _FIELD.search(self.pattern):
            raise ConfigError(
                f"the template {self.pattern!r} has no field, so that all documents would read the"
                " same; expected, for example, '{title} {text}'"
            )

    def render(self, document: Document) -> str:
        """Fill in one document, as `readable`, without white space at either end."""
        filled = _FIELD.sub(lambda match: _field(document, match[1]), self.pattern)
        return readable(filled).strip()

    def notes(self, documents: Iterable[Document]) -> tuple[str, ...]:
        """Say, for a stage's report, which of the documents have none of the fields."""
        fields, documents = _FIELD.findall(self.pattern), list(documents)
        unread = [
            document.id
            for document in documents
            if not any(_field(document, field).strip() for field in fields)
        ]
        if not unread:
            return ()
        if len(unread) == len(documents):
            return (
                f"no document has any field of the template {self.pattern!r}, so that nothing was"
                " read and the scores mean nothing",
            )
        named = ", ".join(map(shown, unread[:NAMED_DOCUMENTS]))
        more = ", …" if len(unread) > NAMED_DOCUMENTS else ""
        return (
            f"{len(unread)} of {len(documents)} documents have no field of the template"
            f" {self.pattern!r} and were scored as empty: {named}{more}",
        )


def readable(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can hold and tokenisers refuse, by "?".

    Raises InputError for what is no text.
    """
    if not isinstance(text, str):
        raise InputError(f"expected a text; got {text!r:.60}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _field(document: Document, path: str) -> str:
    if path in ("text", "id"):
        return document.text if path == "text" else document.id
    return as_text(value_at(document.metadata, path))
