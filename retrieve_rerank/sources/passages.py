"""Long documents split into passages.

Knows nothing of files and models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from retrieve_rerank.language import SPACELESS
from retrieve_rerank.types import Document

_WORD = re.compile(rf"[{SPACELESS}]|[^\W_{SPACELESS}]+")


def split_passages(documents: Iterable[Document], *, words: int) -> Iterator[Document]:
    """Split each document into passages of at most `words` words.

    Characters of scripts without spaces count as words. A passage ends at the highest boundary
    that fits: a heading in Markdown, a paragraph, a sentence, a word. Its id is that of its
    document with `#0`, `#1`, …; its metadata are the document's, with `parent` (the document's
    id) and `passage` (the position, from 0).
    """
    plain = TextSplitter.from_callback(_count_words, words)
    markdown = MarkdownSplitter.from_callback(_count_words, words)
    for document in documents:
        splitter = markdown if document.id.endswith((".md", ".markdown")) else plain
        texts = [document.text] if _count_words(document.text) <= words else None
        for position, text in enumerate(texts or splitter.chunks(document.text)):
            metadata = {**document.metadata, "parent": document.id, "passage": position}
            yield Document(f"{document.id}#{position}", text, metadata)


def _count_words(text: str) -> int:
    return len(_WORD.findall(text))
