"""A stream of documents, cut into what is encoded, written and reported at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain

from retrieve_rerank.errors import InputError
from retrieve_rerank.types import Document

BATCH_DOCUMENTS = 256  # encoded together: enough to sort by length, few enough to hold in memory
BATCH_CHARACTERS = 500_000
BATCH_S = 4.0  # that one may take: what is not reported yet is lost by an interruption

_FIRST_BATCH, _SMALLEST_BATCH = 32, 4

SAMPLE_DOCUMENTS = 1000  # that tell language and average length
SAMPLE_CHARACTERS = 10_000_000


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Cut a stream into lists, short ones where texts are long or the machine is slow."""
    size = _FIRST_BATCH
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) >= size or characters >= BATCH_CHARACTERS:
            began = time.monotonic()
            yield batch
            took_s = time.monotonic() - began  # by whoever wrote it
            if took_s > BATCH_S:
                size = max(_SMALLEST_BATCH, size // 2)
            elif took_s < BATCH_S / 2:
                size = min(BATCH_DOCUMENTS, 2 * size)
            batch, characters = [], 0
    if batch:
        yield batch


def sample(documents: Iterable[Document]) -> tuple[list[Document], Iterator[Document]]:
    """Take the first documents of a stream; return them, and the whole stream again."""
    stream = iter(documents)
    first: list[Document] = []
    characters = 0
    for document in stream:
        first.append(document)
        characters += len(document.text)
        if len(first) == SAMPLE_DOCUMENTS or characters >= SAMPLE_CHARACTERS:
            break
    return first, chain(first, stream)


def check_part(part: int, parts: int) -> None:
    """Raise InputError unless `part` is one of 0 to `parts` - 1."""
    if not 0 <= part < parts:
        raise InputError(
            f"part must be from 0 to {parts - 1}, of {parts}; got {part}"
            if parts > 0
            else f"parts must be at least 1; got {parts}"
        )
