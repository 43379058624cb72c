"""Token tensors for an index that is there already: computed, kept up to date, counted.

The index's documents are read page by page, and what is held at once does not grow with their
number. Knows nothing of backends or of what a user sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from retrieve_rerank.base import (
    Encoder,
    Encoding,
    TensorDtype,
    TensorSettings,
    TensorStore,
    TokenEmbedder,
    TokenTensor,
)
from retrieve_rerank.connectors.batches import BATCH_DOCUMENTS, batches
from retrieve_rerank.connectors.tensors import content_hash
from retrieve_rerank.errors import IndexMismatchError, InputError, ModelError, PartialWriteError
from retrieve_rerank.models.resolving import portable_name
from retrieve_rerank.models.token_pooling import pool_tokens
from retrieve_rerank.template import Template

POOLING_FACTOR = 2
"""Neighbouring tokens averaged into one; quality was the same in docs/benchmarks/recipe.md."""

REFUSALS_KEPT = 10

T = TypeVar("T")

_CALL_CHARACTERS = 1 << 14  # texts encoded and written together: what a kill loses; fills batches
_WRITE_BYTES = 8 << 20  # of float32; what is stored is less
_GET_IDS = 64  # documents looked for at once, which come with their texts


class _Text(NamedTuple):
    """What a document's tensor is made from."""

    id: str
    text: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class TensorReport:
    """What `add_tensors` did."""

    documents: int = 0
    """Documents of the index."""
    added: int = 0
    """Tensors written for documents that had none."""
    replaced: int = 0
    """Tensors written anew, as the documents' texts had changed."""
    deleted: int = 0
    """Tensors deleted, as their documents are gone."""
    truncated: int = 0
    """Texts of which the encoder read only the beginning."""
    refused: int = 0
    """Tensors that the backend would not take."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Document id -> why its tensor was refused, for the first REFUSALS_KEPT."""


@dataclass(frozen=True, slots=True)
class TensorStatus:
    """How the tensors of an index stand to its documents."""

    settings: TensorSettings | None
    """How they were made; None where there are none."""
    documents: int
    present: int
    """Documents with a tensor of their text as it is now."""
    missing: int
    stale: int
    """Documents whose text has changed since."""
    orphaned: int
    """Tensors whose documents are gone."""


def tensor_settings(
    encoder: Encoder, *, dtype: TensorDtype = "int8", pooling_factor: int = POOLING_FACTOR
) -> TensorSettings:
    """Describe the tensors that `encoder` makes; its dimension is found by encoding a letter."""
    if pooling_factor < 1:
        raise InputError(f"the pooling factor must be at least 1; got {pooling_factor}")
    [probe] = encoder.encode_documents(["a"])
    return TensorSettings(
        encoder=portable_name(encoder.name),
        fingerprint=encoder.fingerprint,
        dimension=probe.tokens.shape[1],
        dtype=dtype,
        pooling_factor=pooling_factor,
    )


def add_tensors(
    store: TensorStore,
    encoder: TokenEmbedder,
    settings: TensorSettings,
    *,
    template: Template | None = None,
    documents_per_s: float | None = None,
    companion: bool | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TensorReport:
    """Bring the tensors of an index up to date: write what is missing or stale, delete orphans.

    Stopped at any moment, it has kept what it wrote, and goes on when run again.
    `documents_per_s` bounds how many are encoded and written in a second. `companion` keeps new
    ones in an index beside the documents' own (True) or in it (False); None leaves it to the
    backend. `on_progress` hears how many documents have been dealt with since it was last called.
    Raises IndexMismatchError where tensors of other settings are there.
    """
    if documents_per_s is not None and documents_per_s <= 0:
        raise InputError(f"documents_per_s must be above 0; got {documents_per_s}")
    store.create_tensors(settings, companion=companion)
    writer = _Writer(store, encoder, settings, _Pace(documents_per_s))
    documents = added = replaced = 0
    for page in _pages(store, template or Template()):
        there = store.tensor_hashes([each.id for each in page])
        wanted = [each for each in page if there.get(each.id) != each.content_hash]
        if on_progress and len(page) > len(wanted):
            on_progress(len(page) - len(wanted))
        for written in writer.write(wanted):
            replaced += sum(id_ in there for id_ in written.ids)
            added += sum(id_ not in there for id_ in written.ids)
            if on_progress:
                on_progress(written.documents)
        documents += len(page)
    return TensorReport(
        documents=documents,
        added=added,
        replaced=replaced,
        deleted=_delete_orphans(store, documents - writer.refused),
        truncated=writer.truncated,
        refused=writer.refused,
        refusals=writer.refusals,
    )


def tensor_status(
    store: TensorStore,
    *,
    template: Template | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TensorStatus:
    """Count which documents have a tensor of their text as it is now; reads all documents."""
    settings = store.tensor_settings()
    documents = present = stale = 0
    for page in _pages(store, template or Template()):
        documents += len(page)
        if settings is not None:
            there = store.tensor_hashes([each.id for each in page])
            same = sum(there.get(each.id) == each.content_hash for each in page)
            present += same
            stale += len(there) - same
        if on_progress:
            on_progress(len(page))
    tensors = sum(1 for _ in store.tensor_ids()) if settings is not None else 0
    return TensorStatus(
        settings=settings,
        documents=documents,
        present=present,
        missing=documents - present - stale,
        stale=stale,
        orphaned=max(0, tensors - present - stale),
    )


class _Written(NamedTuple):
    documents: int
    """Dealt with, refused ones included."""
    ids: Sequence[str]
    """Those whose tensors were taken."""


class _Writer:
    """Encodes texts and writes their tensors, a bounded number of bytes at once."""

    def __init__(
        self, store: TensorStore, encoder: TokenEmbedder, settings: TensorSettings, pace: _Pace
    ) -> None:
        self.truncated = 0
        self.refused = 0
        self.refusals: dict[str, str] = {}
        self._store = store
        self._encoder = encoder
        self._settings = settings
        self._pace = pace

    def write(self, texts: Iterable[_Text]) -> Iterator[_Written]:
        """Write the tensors of texts, those of like length together."""
        ordered = sorted(texts, key=lambda each: len(each.text))
        for call in _cut(
            ordered, lambda each: len(each.text), size=_CALL_CHARACTERS, count=self._pace.at_once
        ):
            encodings = self._encoder.encode_documents([_valid(each.text) for each in call])
            self.truncated += sum(encoding.truncated for encoding in encodings)
            tensors = map(self._tensor, call, encodings)
            for batch in _cut(tensors, lambda each: each.tokens.nbytes, size=_WRITE_BYTES):
                yield _Written(len(batch), self._write(batch))
            self._pace.wait(len(call))

    def _write(self, tensors: Sequence[TokenTensor]) -> list[str]:
        """Write a batch; raise only where the backend took none of it."""
        refused: Mapping[str, str] = {}
        try:
            self._store.write_tensors(tensors)
        except PartialWriteError as exc:
            refused = exc.failures
            if len(refused) >= len(tensors) > 1:
                raise
            self.refused += len(refused)
            kept = islice(refused.items(), REFUSALS_KEPT - len(self.refusals))
            self.refusals.update(kept)
        return [each.id for each in tensors if each.id not in refused]

    def _tensor(self, text: _Text, encoding: Encoding) -> TokenTensor:
        tokens, wanted = encoding.tokens, self._settings.dimension
        if tokens.shape[1] != wanted:
            raise IndexMismatchError(
                f"{self._settings.encoder} gave vectors of {tokens.shape[1]} numbers for document "
                f"{text.id!r}; the tensors are made for {wanted}"
            )
        if not np.isfinite(tokens).all():
            raise ModelError(
                f"{self._settings.encoder} gave numbers that are infinite or none for document "
                f"{text.id!r}"
            )
        if not len(tokens):  # nothing but skipped punctuation: a tensor all the same, of MaxSim 0
            tokens = np.zeros((1, wanted), dtype=np.float32)
        pooled = pool_tokens(tokens, self._settings.pooling_factor)
        return TokenTensor(text.id, text.content_hash, pooled)


class _Pace:
    """Holds work back to a number of documents a second."""

    def __init__(self, documents_per_s: float | None) -> None:
        self._rate = documents_per_s
        self._started = time.monotonic()
        self._done = 0

    @property
    def at_once(self) -> int:
        """Documents to do between two waits: about a second's."""
        return BATCH_DOCUMENTS if self._rate is None else max(1, int(self._rate))

    def wait(self, documents: int) -> None:
        """Wait until so many more documents may have been done."""
        if self._rate is None:
            return
        self._done += documents
        time.sleep(max(0.0, self._started + self._done / self._rate - time.monotonic()))


def _pages(store: TensorStore, template: Template) -> Iterator[list[_Text]]:
    """Read all documents as what their tensors are made from."""

    for batch in batches(store.scan()):
        texts = [template.render(document) for document in batch]
        yield [
            _Text(document.id, text, content_hash(text))
            for document, text in zip(batch, texts, strict=True)
        ]


def _delete_orphans(store: TensorStore, expected: int) -> int:
    """Delete the tensors of documents that are gone; return how many there were.

    None is looked for where there are just as many tensors as expected: the documents would have
    to be read once more.
    """
    if sum(1 for _ in store.tensor_ids()) <= expected:
        return 0
    deleted = 0
    for ids in _cut(store.tensor_ids(), lambda _: 1, size=_GET_IDS):
        known = {document.id for document in store.get(ids)}
        gone = [id_ for id_ in ids if id_ not in known]
        if gone:
            store.delete_tensors(gone)
            deleted += len(gone)
    return deleted


def _cut(
    items: Iterable[T], size_of: Callable[[T], int], *, size: int, count: int = BATCH_DOCUMENTS
) -> Iterator[list[T]]:
    """Cut into lists of at most `count` items and, unless it is one item, `size` in sum."""
    batch: list[T] = []
    total = 0
    for item in items:
        if batch and (len(batch) == count or total + size_of(item) > size):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size_of(item)
    if batch:
        yield batch


def _valid(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can hold and tokenisers refuse."""
    return text.encode(errors="replace").decode()
