"""How a stream of documents is cut into batches."""

from __future__ import annotations

import time
from itertools import islice

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors import batches as module
from retrieve_rerank.connectors.batches import BATCH_DOCUMENTS, batches

DOCUMENTS = [Document(str(n), "text") for n in range(3000)]


def test_batches_grow_to_their_full_size_where_they_are_written_fast() -> None:
    sizes = [len(batch) for batch in batches(DOCUMENTS)]
    assert sizes[0] < BATCH_DOCUMENTS
    assert max(sizes) == BATCH_DOCUMENTS == sizes[-2]
    assert sum(sizes) == len(DOCUMENTS)


def test_batches_shrink_where_they_are_written_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_S", 0.001)
    sizes = []
    for batch in islice(batches(DOCUMENTS), 6):
        sizes.append(len(batch))
        time.sleep(0.003)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 4


def test_long_texts_make_small_batches() -> None:
    long = [Document(str(n), "x" * 200_000) for n in range(7)]
    assert [len(batch) for batch in batches(long)] == [3, 3, 1]
