"""Documents encoded into token tensors, as far as these are missing or of older texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from retrieve_rerank.base import Encoding, TensorSettings, TensorStore, TokenEmbedder, TokenTensor
from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.batches import BATCH_DOCUMENTS
from retrieve_rerank.connectors.encoder_output import check_vectors
from retrieve_rerank.errors import InputError, PartialWriteError
from retrieve_rerank.indexing.additions import (
    REFUSALS_KEPT,
    AdditionReport,
    Additions,
    Text,
    delete_orphans,
    texts,
)
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.text.template import Template

_CALL_CHARACTERS = 1 << 14  # texts encoded and written together: what a kill loses; fills batches
_WRITE_BYTES = 8 << 20  # of float32; what is stored is less

Write = Callable[[Sequence[TokenTensor]], None]
"""Stores tensors; raises PartialWriteError for those that the backend refuses."""


@dataclass(frozen=True, slots=True)
class TensorReport(AdditionReport):
    """What was done to the tensors of an index."""

    truncated: int = 0
    """Texts of which the encoder read only the beginning."""


class RateLimit:
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


class Maker:
    """Makes tensors of texts; counts those of which the encoder read only the beginning."""

    def __init__(
        self,
        encoder: TokenEmbedder,
        settings: TensorSettings,
        *,
        documents_per_s: float | None = None,
    ) -> None:
        """Make at most so many in a second; raise InputError unless these are above 0."""
        if documents_per_s is not None and documents_per_s <= 0:
            raise InputError(f"documents_per_s must be above 0; got {documents_per_s}")
        self.truncated = 0
        self.rate = RateLimit(documents_per_s)
        self._encoder = encoder
        self._settings = settings

    def make(self, texts: Sequence[Text]) -> Iterator[TokenTensor]:
        """Encode texts together, and pool each one's tokens."""
        encodings = self._encoder.encode_documents([each.text for each in texts])
        self.truncated += sum(encoding.truncated for encoding in encodings)
        return map(self._tensor, texts, encodings)

    def _tensor(self, text: Text, encoding: Encoding) -> TokenTensor:
        tokens, wanted = encoding.tokens, self._settings.dimension
        name = self._settings.encoder
        check_vectors(tokens, of=f"document {text.id!r}", encoder=name, dimension=wanted)
        if not len(tokens):  # nothing but skipped punctuation: a tensor all the same, of MaxSim 0
            tokens = np.zeros((1, wanted), dtype=np.float32)
        pooled = pool_tokens(tokens, self._settings.pooling_factor)
        return TokenTensor(text.id, text.content_hash, pooled)


def fill(
    there: Additions,
    write: Write,
    maker: Maker,
    *,
    template: Template | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TensorReport:
    """Write what is missing or stale of the tensors that are `there`, and delete orphans.

    Stopped at any moment, it has kept what it wrote, and goes on when run again. `on_progress`
    hears how many documents have been dealt with since it was last called.
    """
    before = maker.truncated
    writer = _Writer(write, maker)
    documents = added = replaced = 0
    for page in texts(there.connector, template or Template()):
        hashes = there.hashes([each.id for each in page])
        wanted = [each for each in page if hashes.get(each.id) != each.content_hash]
        if on_progress and len(page) > len(wanted):
            on_progress(len(page) - len(wanted))
        for written in writer.write(wanted):
            replaced += sum(id_ in hashes for id_ in written.ids)
            added += sum(id_ not in hashes for id_ in written.ids)
            if on_progress:
                on_progress(written.documents)
        documents += len(page)
    return TensorReport(
        documents=documents,
        added=added,
        replaced=replaced,
        deleted=delete_orphans(there, documents - writer.refused),
        truncated=maker.truncated - before,
        refused=writer.refused,
        refusals=writer.refusals,
    )


def of_store(store: TensorStore) -> Additions:
    """Say how a store is asked about the tensors that serve."""
    return Additions(store, store.tensor_hashes, store.tensor_ids, store.delete_tensors)


class _Written(NamedTuple):
    documents: int
    """Dealt with, refused ones included."""
    ids: Sequence[str]
    """Those whose tensors were taken."""


class _Writer:
    """Encodes texts and writes their tensors, a bounded number of bytes at once."""

    def __init__(self, write: Write, maker: Maker) -> None:
        self.refused = 0
        self.refusals: dict[str, str] = {}
        self._take = write
        self._maker = maker

    def write(self, wanted: Iterable[Text]) -> Iterator[_Written]:
        """Write the tensors of texts, those of like length together."""
        ordered = sorted(wanted, key=lambda each: len(each.text))
        rate = self._maker.rate
        for call in cut(
            ordered, lambda each: len(each.text), size=_CALL_CHARACTERS, count=rate.at_once
        ):
            tensors = self._maker.make(call)
            for batch in cut(
                tensors, lambda each: each.tokens.nbytes, size=_WRITE_BYTES, count=BATCH_DOCUMENTS
            ):
                yield _Written(len(batch), self._write(batch))
            rate.wait(len(call))

    def _write(self, tensors: Sequence[TokenTensor]) -> list[str]:
        """Write a batch; raise only where the backend took none of it."""
        refused: Mapping[str, str] = {}
        try:
            self._take(tensors)
        except PartialWriteError as exc:
            refused = exc.failures
            if len(refused) >= len(tensors) > 1:
                raise
            self.refused += len(refused)
            kept = islice(refused.items(), REFUSALS_KEPT - len(self.refusals))
            self.refusals.update(kept)
        return [each.id for each in tensors if each.id not in refused]
