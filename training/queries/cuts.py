"""Spans that queries came from, and documents without them.

Who leaves them in trains a model to find the copy of the query, and measures how well it does. Of
other documents a like span is cut, so that what is missing does not give the source away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import NamedTuple

from retrieve_rerank.training.normalising import digest, normalised
from retrieve_rerank.training.queries.proposals import LEAST_LEFT, Source, count_words, headings
from retrieve_rerank.training.queries.sentences import lines, sentences
from retrieve_rerank.types import Document

WHOLE_IN = 10
"""One training query in so many keeps its span: the words of a query do occur in what answers it.
The inverse cloze task's share (Lee et al., https://arxiv.org/abs/1906.00300, §4)."""

_PARTING = ".:。：\r\n"
"""Of these one stands after a title that is repeated as the beginning of the text."""


class Cut(NamedTuple):
    """What of a document became a query."""

    source: Source
    span: str


@dataclass(frozen=True, slots=True)
class Cuts:
    """The spans of all queries."""

    of: Mapping[str, Mapping[str, Cut]] = field(default_factory=dict)
    """Id of the document or passage in its index -> query id -> what was taken from there."""
    whole: Collection[str] = frozenset()
    """Training queries whose documents are read as they are, one in WHOLE_IN."""
    generated: bool = False
    """Whether the queries were made from the documents, even if nothing of these is cut."""

    def of_query(self, query_id: str) -> dict[str, Cut]:
        """Return document id -> span, for the documents that a query came from."""
        return {id_: of[query_id] for id_, of in self.of.items() if query_id in of}


def keeps_span(query: str) -> bool:
    """Draw, by a hash of the query, whether its documents are read as they are in training."""
    return digest("whole", query) % WHOLE_IN == 0


def same_title(document: Document, span: str) -> bool:
    """Tell whether a document has the span for its title."""
    return normalised(document.title) == normalised(span)


def without(document: Document, cut: Cut) -> Document:
    """Cut a span out, wherever it stands as a line or sentence of its own; a title as such too."""
    text, metadata = document.text, document.metadata
    if same_title(document, cut.span):
        metadata = {**metadata, "title": ""}
    if cut.source == "title":
        text = _without_beginning(text, cut.span)
    else:
        text = _without_pieces(text, cut)
    return replace(document, text=text.strip(), metadata=metadata)


def without_like(document: Document, source: Source, *, query_id: str) -> Document:
    """Cut what a document that the query did not come from has of the same kind.

    Which sentence or question, is drawn by a hash of both ids. A document that would be left with
    less than a passage stays whole.
    """
    if source == "title":
        return without(document, Cut("title", document.title.strip()))
    found = headings(document.text) if source == "heading" else sentences(document.text)
    if source == "question":
        found = [each for each in found if each.endswith(("?", "？"))] or found
    if not found:
        return document
    span = found[digest(query_id, document.id) % len(found)]
    if count_words(document.text) - count_words(span) < LEAST_LEFT:
        return document
    return without(document, Cut(source, span))


def _without_beginning(text: str, title: str) -> str:
    """Take a title away that the text begins with, as its first line or sentence."""
    begun = text.lstrip().lstrip("#").lstrip()
    if not title or not begun.startswith(title):
        return text
    rest = begun.removeprefix(title)
    return rest.lstrip(_PARTING) if not rest or rest[0] in _PARTING else text


def _without_pieces(text: str, cut: Cut) -> str:
    """Take away the lines or sentences that are the span: within others it is a part of them."""
    kept = [""]
    for piece in lines(text) if cut.source == "heading" else sentences(text):
        before, _, text = text.partition(piece)
        kept[-1] += before
        if piece == cut.span:
            kept.append("")
        else:
            kept[-1] += piece
    return reduce(_joined, [*kept[:-1], kept[-1] + text])


def _joined(before: str, after: str) -> str:
    """Join what stood around a span by what parted it from either: a line's end, or a space."""
    spaces = before[len(before.rstrip()) :] + after[: len(after) - len(after.lstrip())]
    joint = "\n\n" if "\n\n" in spaces else "\n" if "\n" in spaces else " " if spaces else ""
    return before.rstrip() + joint + after.lstrip()
