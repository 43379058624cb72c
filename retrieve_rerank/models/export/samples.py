"""Texts to calibrate and to check an exported model on: queries, each with documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

from retrieve_rerank.data.lines import LineFile
from retrieve_rerank.data.records import Reason, parse_json
from retrieve_rerank.errors import InputError, shown
from retrieve_rerank.text.template import Template
from retrieve_rerank.types import Document

BUILT_IN = "the reference manual of Python, which comes with it"
"""Where `built_in_samples` come from."""

_DOCUMENTS = 40
"""Documents for each of the built-in queries."""


class Sample(NamedTuple):
    """A query and documents to score for it."""

    query: str
    documents: Sequence[str]


def read_samples(file: Path, template: Template) -> list[Sample]:
    """Read JSON lines as `rr rerank` does; raise InputError on a line that is none.

    {"query": …, "documents": [text or {"title": …, "text": …}, …]}; gzipped ones are
    unpacked.
    """
    samples = [
        _sample(line, template, where=f"{file}, line {number}")
        for number, line in LineFile(str(file)).texts()
    ]
    if len(samples) < 2:
        raise InputError(
            f"{file} holds {len(samples)} queries; expected at least 2, one half of them to"
            " calibrate on and the other to check"
        )
    return samples


def built_in_samples() -> list[Sample]:
    """Return the topics of Python's manual: heading and paragraphs, padded with other topics'."""
    paragraphs = {name: _paragraphs(text) for name, text in sorted(topics.items())}
    names = [name for name, found in paragraphs.items() if len(found) > 1]
    samples = []
    for place, name in enumerate(names):
        heading, *documents = paragraphs[name]
        for other in [*names[place + 1 :], *names[:place]]:
            documents += paragraphs[other][1:4]
            if len(documents) >= _DOCUMENTS:
                break
        samples.append(Sample(heading, documents[:_DOCUMENTS]))
    return samples


def halves(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Split in two, every other one, so that neither half is the beginning of a sorted file."""
    return list(samples[::2]), list(samples[1::2])


def _paragraphs(text: str) -> list[str]:
    blocks: Iterable[str] = re.split(r"\n\s*\n", text)
    joined = (" ".join(block.split()).strip("* ") for block in blocks)
    return [block for block in joined if len(block) > 3]


def _sample(line: str, template: Template, *, where: str) -> Sample:
    record = parse_json(line.encode())
    if isinstance(record, Reason):
        raise InputError(f"{where}: expected a JSON object; got {shown(line)} ({record})")
    try:
        query, documents = record["query"], record["documents"]
        texts = [
            document if isinstance(document, str) else _render(document, template)
            for document in documents
        ]
    except (KeyError, TypeError, AttributeError) as exc:
        raise InputError(
            f'{where}: expected {{"query": "…", "documents": ["…", …]}}; got {shown(line)}'
        ) from exc
    if not isinstance(query, str) or not texts:
        raise InputError(f"{where}: expected a query and at least one document")
    return Sample(query, texts)


def _render(document: dict[str, str], template: Template) -> str:
    return template.render(Document("", document["text"], document))
