"""Pairs for weakly supervised training: what a document is called, and what it says.

A title and its body, a thread and a comment, a question and its answer: in plenty, and judged by
nobody (RankingGPT's first stage: https://arxiv.org/abs/2311.16720, §3.1).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.queries.proposals import LEAST_LEFT, Proposal, count_words
from retrieve_rerank.types import Document


def text_pairs(
    documents: Iterable[Document], *, left_out: Counter[str] | None = None
) -> Iterator[Group]:
    """Yield a group for each document: its title as the query, its text as the one positive.

    A text that begins with its title loses it there, as there would be nothing to learn; "Car" is
    no beginning of "Carbon footprints". `left_out` counts documents without a title, with one that
    says nothing, or with too short a text.
    """
    why = Counter[str]() if left_out is None else left_out
    for document in documents:
        title = document.title.strip()
        text = _without(title, document.text.strip())
        if not title:
            why["document without a title"] += 1
        elif not Proposal("title", title, title).says_something:
            why["title that says nothing"] += 1
        elif count_words(text) < LEAST_LEFT:
            why[f"text of fewer than {LEAST_LEFT} words"] += 1
        else:
            yield Group(title, (GroupText(text, 1.0, document.id, "text pair"),))


_WITHIN_WORD = re.compile(r"\w\w")


def _without(title: str, text: str) -> str:
    """Take the title off a text that begins with it and goes on with another word."""
    at = len(title)
    if not text.startswith(title) or _WITHIN_WORD.match(text[max(at - 1, 0) : at + 1]):
        return text
    return text[at:].lstrip()
