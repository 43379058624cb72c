"""Token tensors for an index that is there already: computed, kept up to date, counted.

The index's documents are read page by page, and what is held at once does not grow with their
number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import NamedTuple

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
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.batches import BATCH_DOCUMENTS
from retrieve_rerank.connectors.encoder_output import check_vectors
from retrieve_rerank.errors import InputError, PartialWriteError
from retrieve_rerank.indexing.additions import (
    REFUSALS_KEPT,
    AdditionReport,
    Additions,
    AdditionStatus,
    Text,
    compare,
    delete_orphans,
    texts,
)
from retrieve_rerank.models.checkpoints.resolving import portable_name
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.text.template import Template

POOLING_FACTOR = 2
"""Neighbouring tokens averaged into one; quality was the same in docs/benchmarks/recipe.md."""

_CALL_CHARACTERS = 1 << 14  # texts encoded and written together: what a kill loses; fills batches
_WRITE_BYTES = 8 << 20  # of float32; what is stored is less


@dataclass(frozen=True, slots=True)
class TensorReport(AdditionReport):
    """What `add_tensors` did."""

    truncated: int = 0
    """Texts of which the encoder read only the beginning."""


@dataclass(frozen=True, slots=True)
class TensorStatus(AdditionStatus):
    """How the tensors of an index stand to its documents."""

    settings: TensorSettings | None
    """How they were made; None where there are none."""


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
    writer = _Writer(store, encoder, settings, _RateLimit(documents_per_s))
    documents = added = replaced = 0
    for page in texts(store, template or Template()):
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
        deleted=delete_orphans(_of(store), documents - writer.refused),
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
    found = compare(
        _of(store), template or Template(), exist=settings is not None, on_progress=on_progress
    )
    return TensorStatus(**asdict(found), settings=settings)


class _Written(NamedTuple):
    documents: int
    """Dealt with, refused ones included."""
    ids: Sequence[str]
    """Those whose tensors were taken."""


class _Writer:
    """Encodes texts and writes their tensors, a bounded number of bytes at once."""

    def __init__(
        self, store: TensorStore, encoder: TokenEmbedder, settings: TensorSettings, rate: _RateLimit
    ) -> None:
        self.truncated = 0
        self.refused = 0
        self.refusals: dict[str, str] = {}
        self._store = store
        self._encoder = encoder
        self._settings = settings
        self._rate = rate

    def write(self, wanted: Iterable[Text]) -> Iterator[_Written]:
        """Write the tensors of texts, those of like length together."""
        ordered = sorted(wanted, key=lambda each: len(each.text))
        for call in cut(
            ordered, lambda each: len(each.text), size=_CALL_CHARACTERS, count=self._rate.at_once
        ):
            encodings = self._encoder.encode_documents([each.text for each in call])
            self.truncated += sum(encoding.truncated for encoding in encodings)
            tensors = map(self._tensor, call, encodings)
            for batch in cut(
                tensors, lambda each: each.tokens.nbytes, size=_WRITE_BYTES, count=BATCH_DOCUMENTS
            ):
                yield _Written(len(batch), self._write(batch))
            self._rate.wait(len(call))

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

    def _tensor(self, text: Text, encoding: Encoding) -> TokenTensor:
        tokens, wanted = encoding.tokens, self._settings.dimension
        name = self._settings.encoder
        check_vectors(tokens, of=f"document {text.id!r}", encoder=name, dimension=wanted)
        if not len(tokens):  # nothing but skipped punctuation: a tensor all the same, of MaxSim 0
            tokens = np.zeros((1, wanted), dtype=np.float32)
        pooled = pool_tokens(tokens, self._settings.pooling_factor)
        return TokenTensor(text.id, text.content_hash, pooled)


class _RateLimit:
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


def _of(store: TensorStore) -> Additions:
    return Additions(store, store.tensor_hashes, store.tensor_ids, store.delete_tensors)
