"""What is added to the documents of an index that is there: read, compared, counted, cleared away.

Each addition carries a hash of the text that it was made from, so that one walk over the documents
tells what is missing or stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from retrieve_rerank.base import Connector
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.batches import batches
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Document

REFUSALS_KEPT = 10


_GET_IDS = 64  # documents looked for at once, which come with their texts


class Text(NamedTuple):
    """What is made something of for a document."""

    id: str
    text: str
    content_hash: str


class Additions(NamedTuple):
    """What an index is asked about what was added to it."""

    connector: Connector
    hashes: Callable[[Sequence[str]], Mapping[str, str]]
    ids: Callable[[], Iterator[str]]
    delete: Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class AdditionReport:
    """What bringing additions up to date did."""

    documents: int = 0
    """Documents of the index."""
    added: int = 0
    """Written for documents that had none."""
    replaced: int = 0
    """Written anew, as the documents' texts had changed."""
    deleted: int = 0
    """Deleted, as their documents are gone."""
    refused: int = 0
    """What the backend would not take."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Document id -> why it was refused, for the first REFUSALS_KEPT."""


@dataclass(frozen=True, slots=True)
class AdditionStatus:
    """How what is added to an index stands to its documents."""

    documents: int
    present: int
    """Documents with an addition of their text as it is now."""
    missing: int
    stale: int
    """Documents whose text has changed since."""
    orphaned: int
    """Additions whose documents are gone."""


def texts(connector: Connector, template: Template) -> Iterator[list[Text]]:
    """Read all documents as what additions are made from."""
    for batch in batches(connector.scan()):
        yield texts_of(batch, template)


def texts_of(documents: Sequence[Document], template: Template) -> list[Text]:
    """Render documents as what additions are made from."""
    rendered = [template.render(document) for document in documents]
    return [
        Text(document.id, text, content_hash(text))
        for document, text in zip(documents, rendered, strict=True)
    ]


def compare(
    additions: Additions,
    template: Template,
    *,
    exist: bool,
    on_progress: Callable[[int], None] | None = None,
) -> AdditionStatus:
    """Count which documents have what; reads all documents. `exist` says if there are any."""
    documents = present = stale = 0
    for page in texts(additions.connector, template):
        documents += len(page)
        if exist:
            there = additions.hashes([each.id for each in page])
            same = sum(there.get(each.id) == each.content_hash for each in page)
            present += same
            stale += len(there) - same
        if on_progress:
            on_progress(len(page))
    found = sum(1 for _ in additions.ids()) if exist else 0
    return AdditionStatus(
        documents=documents,
        present=present,
        missing=documents - present - stale,
        stale=stale,
        orphaned=max(0, found - present - stale),
    )


def delete_orphans(additions: Additions, expected: int) -> int:
    """Delete what belongs to documents that are gone; return how many there were.

    None is looked for where there are just as many as expected: the documents would have to be
    read once more.
    """
    if sum(1 for _ in additions.ids()) <= expected:
        return 0
    deleted = 0
    for ids in cut(additions.ids(), lambda _: 1, size=_GET_IDS, count=_GET_IDS):
        known = {document.id for document in additions.connector.get(ids)}
        gone = [id_ for id_ in ids if id_ not in known]
        if gone:
            additions.delete(gone)
            deleted += len(gone)
    return deleted
