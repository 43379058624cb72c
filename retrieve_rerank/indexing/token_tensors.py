"""Token tensors for an index that is there already: computed, kept up to date, counted.

The index's documents are read page by page, and what is held at once does not grow with their
number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from retrieve_rerank.base import Encoder, TensorDtype, TensorSettings, TensorStore, TokenEmbedder
from retrieve_rerank.errors import InputError
from retrieve_rerank.indexing.additions import AdditionStatus, compare
from retrieve_rerank.indexing.tensor_filling import Maker, TensorReport, fill, of_store
from retrieve_rerank.models.checkpoints.resolving import portable_name
from retrieve_rerank.text.template import Template

POOLING_FACTOR = 2
"""Neighbouring tokens averaged into one; quality was the same in docs/benchmarks/recipe.md."""


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
    maker = Maker(encoder, settings, documents_per_s=documents_per_s)
    store.create_tensors(settings, companion=companion)
    return fill(
        of_store(store), store.write_tensors, maker, template=template, on_progress=on_progress
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
        of_store(store), template or Template(), exist=settings is not None, on_progress=on_progress
    )
    return TensorStatus(**asdict(found), settings=settings)
