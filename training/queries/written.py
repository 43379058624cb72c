"""Queries that a language model writes for documents: what a person might ask that they answer.

As InPars does (Bonifacio et al., https://arxiv.org/abs/2202.05144), without examples; what does not
find its document again is left out by `generate`, as for every other source.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Sequence

from retrieve_rerank.base import Connector
from retrieve_rerank.models.language_model import LanguageModel, Prompt
from retrieve_rerank.rerankers.llm.answers import without_thoughts
from retrieve_rerank.rerankers.llm.pair_prompts import PairPrompt
from retrieve_rerank.text.template import Template, readable
from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.queries.proposals import LEAST_LEFT, count_words
from retrieve_rerank.types import Document

PROMPT = PairPrompt(
    messages=[
        (
            "user",
            "Below is a passage from a collection of documents.\n\nPassage: {document}\n\n"
            "Write one search query that a person might type who does not know this passage, and"
            " whom it answers. Use your own words, in the language of the passage, and do not"
            " mention the passage. Answer with the query alone, in one line.",
        )
    ]
)

ANSWER_TOKENS = 48
MOST_CHARACTERS = 4000
"""Of a document that the model is shown: about a page."""

_AT_ONCE = 32
_LABEL = re.compile(r"^(?:\W*(?:search )?quer(?:y|ies)\s*:|\W*\d+[.)]\s|[-*•]\s)\s*", re.IGNORECASE)
_QUOTES = "\"'“”„«»`* "


def choose_documents(
    connector: Connector,
    count: int,
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> list[Document]:
    """Choose documents to ask about: those of the lowest hashes that say enough to be found."""
    tell = on_progress or (lambda number: None)
    chosen: list[tuple[int, str, Document]] = []  # negated hashes: the highest goes first
    for document in connector.scan():
        tell(1)
        if count_words(document.text) < LEAST_LEFT:
            continue
        entry = (-digest(str(seed), document.id), document.id, document)
        if len(chosen) < count:
            heapq.heappush(chosen, entry)
        elif entry > chosen[0]:
            heapq.heapreplace(chosen, entry)
    return [document for _, _, document in sorted(chosen, key=lambda entry: entry[:2])][::-1]


def write_queries(
    model: LanguageModel,
    documents: Sequence[Document],
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[Document, str]]:
    """Have a model write a query for each document, and yield those that it wrote."""
    tell = on_progress or (lambda number: None)
    for start in range(0, len(documents), _AT_ONCE):
        some = documents[start : start + _AT_ONCE]
        answers = model.generate(list(map(question, some)), max_new_tokens=ANSWER_TOKENS).values
        for document, answer in zip(some, answers, strict=True):
            if query := read_query(answer):
                yield document, query
        tell(len(some))


def question(document: Document) -> Prompt:
    """Ask for a query about a document."""
    return PROMPT.render("", readable(Template().render(document))[:MOST_CHARACTERS])


def read_query(answer: str) -> str:
    """Read the query of an answer: its first line, without a label or quotation marks."""
    said = readable(without_thoughts(answer)).strip()
    first = said.splitlines()[0] if said else ""
    return _LABEL.sub("", first).strip(_QUOTES)
