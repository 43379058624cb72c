"""Documents into an index, whole or in passages, with what an earlier cut left there deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from retrieve_rerank.base import Connector, IndexReport
from retrieve_rerank.data.passages import Cut, parent_of, passage_id
from retrieve_rerank.errors import PartialWriteError
from retrieve_rerank.types import PARENT, POSITION, Document

_DOCUMENTS_AT_ONCE = 64
_FIRST_WINDOW, _WIDEST_WINDOW = 4, 256
"""Positions looked at beyond a document's last passage; more while there are any. Several, since
a server may have refused one passage and taken the next."""

_READ_AT_ONCE = 256  # they come with their texts
_DELETED_AT_ONCE = 1000


def index_documents(
    connector: Connector,
    documents: Iterable[Document],
    *,
    passages: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> IndexReport:
    """Add documents, in passages of at most so many words, replacing what they were cut into.

    As `Connector.index`, which knows nothing of passages: there, the passages that a shortened
    document no longer has would stay.
    """
    cut = Cut(documents, words=passages)
    return index_cut(connector, cut, cut, on_progress=on_progress)


def index_cut(
    connector: Connector,
    cut: Cut,
    parts: Iterable[Document],
    *,
    on_progress: Callable[[int], None] | None = None,
) -> IndexReport:
    """Add `parts`, drawn from `cut`; once they are written, delete what stems from another cut.

    That is passages beyond the last, or any of a document that is whole now, and a whole document
    that is in passages now. Nothing is deleted of a document that was refused in part, or where
    indexing ended early: doing it again makes up for it.
    """
    may_be_left = _may_hold_others(connector, passages=cut.words is not None)

    def advance(count: int) -> None:
        cut.written += count
        if on_progress:
            on_progress(count)

    try:
        report = connector.index(parts, on_progress=advance)
    except PartialWriteError as exc:
        if may_be_left and cut.written == cut.drawn:
            _delete_superseded(connector, cut, refused=exc.failures)
        raise
    notes = [*report.notes]
    if cut.displaced:
        notes.append(
            f"{cut.displaced:,} documents have a field {PARENT} or {POSITION} of their own, which "
            f"is kept as metadata.{PARENT} or metadata.{POSITION}: passages have fields of the "
            "same name"
        )
    superseded = _delete_superseded(connector, cut) if may_be_left else 0
    return replace(report, superseded=superseded, notes=notes)


def absent(connector: Connector, cut: Cut) -> set[str]:
    """Read the whole index for documents that are none of `cut`; return their ids."""
    origins = (parent_of(document) or document.id for document in connector.scan())
    return {origin for origin in origins if origin not in cut.passages}


def prune(connector: Connector, cut: Cut) -> int:
    """Delete all documents that are none of `cut`, whole or in passages; return how many."""
    stray = [
        document.id
        for document in connector.scan()
        if (parent_of(document) or document.id) not in cut.passages
    ]
    return _delete(connector, stray)


def _may_hold_others(connector: Connector, *, passages: bool) -> bool:
    """Whether an index can hold what another cut left, as far as its schema tells."""
    schema = connector.schema()
    return schema.documents > 0 and (passages or {PARENT, POSITION} <= schema.fields.keys())


def _delete_superseded(connector: Connector, cut: Cut, *, refused: Iterable[str] = ()) -> int:
    unsure = {id_ for each in refused for id_ in (each, each.rpartition("#")[0])}
    sure = [id_ for id_ in cut.passages if id_ not in unsure]
    return sum(
        # From the last position down: stopped halfway, what is left is found the next time.
        _delete(connector, _superseded(connector, group, cut)[::-1])
        for group in _slices(sure, _DOCUMENTS_AT_ONCE)
    )


def _superseded(connector: Connector, documents: Sequence[str], cut: Cut) -> list[str]:
    """Find what is there of these documents and stems from another cut, by rising position."""
    found = []
    if cut.words is not None:
        found += [each.id for each in connector.get(documents) if parent_of(each) is None]
    looking, start, width = documents, 0, _FIRST_WINDOW
    while looking:
        beyond = [
            passage_id(id_, cut.passages[id_] + start + offset)
            for id_ in looking
            for offset in range(width)
        ]
        left: set[str | None] = set()
        for ids in _slices(beyond, _READ_AT_ONCE):
            for each in connector.get(ids):
                if parent_of(each) is not None and cut.passages.get(each.id) != 0:
                    found.append(each.id)
                    left.add(parent_of(each))
        looking = [id_ for id_ in looking if id_ in left]
        start, width = start + width, min(2 * width, _WIDEST_WINDOW)
    return found


def _delete(connector: Connector, ids: Sequence[str]) -> int:
    return sum(connector.delete(some) for some in _slices(ids, _DELETED_AT_ONCE))


def _slices(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
