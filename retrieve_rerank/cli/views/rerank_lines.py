"""One line of `rr rerank`: a query with its documents in, the documents in their new order out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from retrieve_rerank.data.records import (
    TEXT_FIELDS,
    Fields,
    Reason,
    parse_json,
    read_content,
)
from retrieve_rerank.errors import shown
from retrieve_rerank.text.template import NAMED_DOCUMENTS
from retrieve_rerank.types import Document, Hit, rank

EXPECTED = (
    'expected {"query": "…", "documents": ["text" or {"id", "title", "text", …}, …]}, '
    "or what rr search --json writes"
)

_PLACEMENT = ("rank", "score", "position", "probability", "previous")


class Task(NamedTuple):
    """What one line asks."""

    record: dict[str, Any]
    """The line as it came."""
    key: str
    """Where its documents are: "documents", or "hits" as in a search's answer."""
    query: str
    hits: list[Hit]
    """The documents in their order; their ids are their positions, from 0."""
    textless: Sequence[int]
    """Positions of documents of which no field is known to be the text."""

    @property
    def notes(self) -> Sequence[str]:
        """Say which documents have no text."""
        if not self.textless:
            return ()
        positions = ", ".join(map(str, self.textless[:NAMED_DOCUMENTS]))
        more = ", …" if len(self.textless) > NAMED_DOCUMENTS else ""
        there = ", ".join(self.record[self.key][self.textless[0]]) or "none"
        return (
            f"{len(self.textless)} of {len(self.hits)} documents without a text, at position "
            f"{positions}{more}: expected a field {', '.join(TEXT_FIELDS[:-1])} or "
            f"{TEXT_FIELDS[-1]}; the first has {shown(there)}",
        )

    def answer(
        self, hits: Sequence[Hit], probabilities: Sequence[float] | None = None
    ) -> dict[str, Any]:
        """Put the documents into the order of `hits`, and leave everything else as it came."""
        likely = [None] * len(hits) if probabilities is None else probabilities
        documents = [self._placed(hit, p) for hit, p in zip(hits, likely, strict=True)]
        return {**self.record, self.key: documents}

    def _placed(self, hit: Hit, probability: float | None) -> dict[str, Any]:
        position = int(hit.document.id)
        fields = _fields(self.record[self.key][position])
        previous = {name: fields[name] for name in _PLACEMENT if name in fields}
        placed = {name: value for name, value in fields.items() if name not in previous}
        placed |= {"rank": hit.rank, "score": hit.score, "position": position}
        placed |= {} if probability is None else {"probability": probability}
        return {**placed, "previous": previous} if previous else placed


def read_task(line: bytes | Reason) -> Task | Reason:
    """Read one line."""
    record = line if isinstance(line, Reason) else parse_json(line)
    if isinstance(record, Reason):
        return record
    key = "hits" if "hits" in record and "documents" not in record else "documents"
    query, records = record.get("query"), record.get(key)
    if not isinstance(query, str) or not query.strip():
        return Reason("no query", EXPECTED)
    if not isinstance(records, list):
        return Reason("no list of documents", EXPECTED)
    documents, textless = [], []
    for position, each in enumerate(records):
        if not isinstance(each, str | dict):
            return Reason(f"document {position} is neither text nor an object", EXPECTED)
        content = read_content(_fields(each), Fields())
        if isinstance(content, Reason):
            return Reason(f"document {position}", str(content))
        if not content.has_text:
            textless.append(position)
        documents.append(Document(str(position), content.text, content.metadata))
    return Task(record, key, query, rank((document, 0.0) for document in documents), textless)


def _fields(record: str | dict[str, Any]) -> dict[str, Any]:
    return {"text": record} if isinstance(record, str) else record
