"""What a model reads of a document: a template over its fields.

Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrieve_rerank.types import Document

_FIELD = re.compile(r"\{([\w.\-]+)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{field}` in it: `{text}`, `{id}`, or any field of the metadata (`{title}`).

    `{author.name}` reaches into nested metadata; a field that a document lacks is empty. Only
    fields are replaced, so that neither a template nor a document can run anything.
    """

    pattern: str = "{title} {text}"

    def render(self, document: Document) -> str:
        """Fill in one document, without white space at either end."""
        return _FIELD.sub(lambda match: _field(document, match[1]), self.pattern).strip()


def _field(document: Document, path: str) -> str:
    if path in ("text", "id"):
        return document.text if path == "text" else document.id
    value: Any = document.metadata
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return ""
        value = value.get(key)
    return "" if value is None else str(value)
