"""Documents as they go into an index: whole, or split into passages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from retrieve_rerank.base import Connector
from retrieve_rerank.data.records import keep_within
from retrieve_rerank.text.language import SPACELESS
from retrieve_rerank.types import PARENT, POSITION, Document

_LIKE_PASSAGE = re.compile(r"(.+)#\d+", re.DOTALL)
_READ_AT_ONCE = 1000
_WORD = re.compile(rf"[{SPACELESS}]|[^\W_{SPACELESS}]+")


class Cut:
    """The documents of a stream, whole or in passages, and what each of them became.

    To be iterated over once. With `words`, each document becomes passages of at most so many
    words, where characters of scripts without spaces count as words. A passage ends at the
    highest boundary that fits: a heading in Markdown, a paragraph, a sentence, a word. Its id is
    that of its document with `#0`, `#1`, …; its metadata are the document's, with `parent` (the
    document's id) and `passage` (the position, from 0). Fields of these names that a document had
    itself become `metadata.parent` and `metadata.passage`.
    """

    def __init__(self, documents: Iterable[Document], *, words: int | None = None) -> None:
        self._documents = documents
        self.words = words
        if words is not None:
            self._plain = TextSplitter.from_callback(_count_words, words)
            self._markdown = MarkdownSplitter.from_callback(_count_words, words)
        self.passages: dict[str, int] = {}
        """Document id -> how many passages it became; 0 for one that is whole."""
        self.drawn = 0
        """Documents and passages that were iterated over."""
        self.written = 0
        """Those of them that an index is known to hold."""
        self.displaced = 0
        """Documents with fields of the names that passages have."""

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            parts = self._split(document, self.words) if self.words is not None else [document]
            self.passages[document.id] = len(parts) if self.words is not None else 0
            for part in parts:
                self.drawn += 1
                yield part

    def _split(self, document: Document, words: int) -> list[Document]:
        metadata = document.metadata
        own = {name: metadata[name] for name in (PARENT, POSITION) if name in metadata}
        if own:
            self.displaced += 1
            metadata = keep_within(metadata, "metadata", own)
        return [
            Document(
                passage_id(document.id, position),
                text,
                {**metadata, PARENT: document.id, POSITION: position},
            )
            for position, text in enumerate(self._texts(document, words))
        ]

    def _texts(self, document: Document, words: int) -> list[str]:
        if _count_words(document.text) <= words:
            return [document.text]
        markdown = document.id.endswith((".md", ".markdown"))
        return (self._markdown if markdown else self._plain).chunks(document.text)


def passage_id(parent: str, position: int) -> str:
    """Name a passage."""
    return f"{parent}#{position}"


def whole_ids(connector: Connector, ids: Iterable[str]) -> dict[str, str]:
    """Tell of which documents there are passages among documents of which only the ids are known.

    Returns id -> `whole_id`. Those whose ids are like a passage's are read, to tell.
    """
    found = {id_: id_ for id_ in ids}
    unsure = [id_ for id_ in found if like_passage_of(id_) is not None]
    for start in range(0, len(unsure), _READ_AT_ONCE):
        read = connector.get(unsure[start : start + _READ_AT_ONCE])
        found |= {document.id: document.whole_id for document in read}
    return found


def like_passage_of(id_: str) -> str | None:
    """Return what an id like `x#1` might be a passage of; None for other ids."""
    passage = _LIKE_PASSAGE.fullmatch(id_)
    return passage[1] if passage else None


def parent_of(document: Document) -> str | None:
    """Tell which document a passage is of; None for what is none that was made here."""
    return None if document.whole_id == document.id else document.whole_id


def _count_words(text: str) -> int:
    return len(_WORD.findall(text))
