"""Documents as they go into an index: whole, or split into passages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from retrieve_rerank.data.records import keep_within
from retrieve_rerank.text.language import SPACELESS
from retrieve_rerank.types import Document

PARENT, POSITION = "parent", "passage"
"""Fields of a passage's metadata: the id of its document, and its place there from 0."""

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


def parent_of(document: Document) -> str | None:
    """Tell which document a passage is of; None for what is none that was made here."""
    parent, position = document.metadata.get(PARENT), document.metadata.get(POSITION)
    if isinstance(parent, str) and type(position) is int:
        return parent if document.id == passage_id(parent, position) else None
    return None


def _count_words(text: str) -> int:
    return len(_WORD.findall(text))
