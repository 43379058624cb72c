"""What a document offers as queries: its title, headings, questions, and sentences of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, get_args

from retrieve_rerank.text.language import SPACELESS, WORD
from retrieve_rerank.text.stop_words import STOP_WORDS
from retrieve_rerank.training.normalising import normalised
from retrieve_rerank.training.queries.sentences import lines, sentences
from retrieve_rerank.types import POSITION, Document

Source: TypeAlias = Literal["title", "heading", "question", "sentence", "llm"]
"""Where a query came from: the document's title, asked of its body; a heading, of its section; a
question in the text; a sentence held out from its passage (the inverse cloze task: Lee et al.,
https://arxiv.org/abs/1906.00300); or a language model wrote it."""

ALL_SOURCES: tuple[Source, ...] = get_args(Source)

SOURCES: tuple[Source, ...] = ("title", "heading", "question", "sentence")
"""Those that need no model."""

LEAST_LEFT = 12
"""Words that a document must have besides the span: less is no passage to be found."""

FEWEST = {"title": 1, "heading": 2, "question": 2, "sentence": 4, "llm": 2}
"""Content words that a query of this kind has at least; of Han two characters count as one."""

LONGEST = {"title": 40, "heading": 15, "question": 40, "sentence": 50, "llm": 40}
"""Words: what is longer is not asked, or no title."""

_ALL_STOP_WORDS = frozenset().union(*STOP_WORDS.values())
_NAME = re.compile(
    r"(?:https?://|www\.)\S+|\S+\.(?:com|org|net|io|gov|edu|html?|php|aspx?|pdf|docx?|txt|md|jpe?g|png)",
    re.IGNORECASE,
)
_UNNAMED = re.compile(
    r"(?:untitled|no title|new (?:page|document)|document|page|home ?page|home|index|n/?a|none|null"
    r"|title|default|test|无标题|未命名|标题|首页)[\s\d._-]*",
    re.IGNORECASE,
)
_CHARACTER = re.compile(f"[{SPACELESS}]")
_MARKDOWN = re.compile(r"#{1,6}\s+(.+?)\s*#*$")
_LEANING = re.compile(
    r"(?:this|these|that|those|it|its|he|she|they|his|her|their|such|however|therefore|thus|hence"
    r"|moreover|furthermore|also|but|and|or|so|then|instead|otherwise|for example|in addition"
    r"|as a result)\b|[这该此其它他她那]|但|因此|所以|然而|而且|并且|另外|此外|同时|例如|于是|不过",
    re.IGNORECASE,
)
"""Beginnings of sentences that mean little without the one before."""


class Proposal(NamedTuple):
    """A query that a document offers, and what of the document it is."""

    source: Source
    query: str
    span: str
    """As it stands in the document."""

    @property
    def says_something(self) -> bool:
        """Whether it has enough words with a meaning, not too many, and is no file's name."""
        query = self.query
        if _NAME.fullmatch(query) or _UNNAMED.fullmatch(query):
            return False
        words = [word for word in WORD.findall(query.lower()) if not word.isdecimal()]
        content = sum(
            count_words(word) if _CHARACTER.search(word) else word not in _ALL_STOP_WORDS
            for word in words
        )
        return content >= FEWEST[self.source] and count_words(query) <= LONGEST[self.source]


def proposals(document: Document) -> Iterator[Proposal]:
    """Yield what a document offers; nothing of one that is too short to be found without it.

    A title is offered once, by the first of a document's passages.
    """
    title, text = document.title.strip(), document.text
    words = count_words(text)
    if words < LEAST_LEFT:
        return
    if title and document.metadata.get(POSITION, 0) == 0:
        yield Proposal("title", title, title)
    of_heading = set()
    for span in headings(text):
        of_heading.add(span)
        query = heading_of(span)
        if normalised(query) != normalised(title):
            yield Proposal("heading", query, span)
    held = [each for each in sentences(text) if each not in of_heading]
    for sentence in held:
        if normalised(sentence) == normalised(title):
            continue
        if words - count_words(sentence) < LEAST_LEFT:
            continue
        if sentence.endswith(("?", "？")):
            yield Proposal("question", sentence, sentence)
        elif not _LEANING.match(sentence):
            yield Proposal("sentence", sentence, sentence)


def headings(text: str) -> list[str]:
    """Return the lines that head a section: Markdown's, or short ones without a full stop above
    longer ones."""
    found, all_lines = [], lines(text)
    for line, following in zip(all_lines, [*all_lines[1:], ""], strict=True):
        if _MARKDOWN.match(line) or (
            0 < count_words(line) <= LONGEST["heading"]
            and not line.endswith(tuple(".,;:!。，；：！、…"))
            and not line.startswith(("-", "*", "•", "|", ">"))
            and count_words(following) >= LEAST_LEFT
            and following.endswith(tuple(".!?:。！？："))
        ):
            found.append(line)
    return found


def heading_of(line: str) -> str:
    """Return a heading without Markdown's signs."""
    marked = _MARKDOWN.match(line)
    return (marked[1] if marked else line).strip("*_` ")


def count_words(text: str) -> int:
    """Count words; of scripts without spaces two characters count as one."""
    spaceless = len(_CHARACTER.findall(text))
    return len(WORD.findall(_CHARACTER.sub(" ", text))) + spaceless // 2
