"""Token tensors of an index at a server made anew, while the old ones serve.

New ones are made beside the old by the same hashes as `add_tensors` goes by, so that a run that was
killed is gone on with, and another pass finds what has come, changed or gone since the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from retrieve_rerank.base import Connector, TensorReplacing, TensorSettings, TokenEmbedder
from retrieve_rerank.errors import ConfigError, PartialWriteError
from retrieve_rerank.indexing.additions import Additions, texts_of
from retrieve_rerank.indexing.tensor_filling import Maker, TensorReport, fill, of_store
from retrieve_rerank.text.template import Template

_SAMPLE = 32  # documents that size and time are told from

Progress = Callable[[str], AbstractContextManager[Callable[[int], None]]]
"""Shows a pass over all documents, of that name; hears how many more have been dealt with."""


@dataclass(frozen=True, slots=True)
class RefreshCost:
    """What making all tensors of an index anew takes, told from a few of its documents."""

    documents: int
    bytes: int
    """Of the tensors' numbers; a backend may take more for keeping them."""
    seconds: float
    """On this machine, as busy as it is."""


def refresh_cost(
    connector: Connector,
    encoder: TokenEmbedder,
    settings: TensorSettings,
    *,
    documents_per_s: float | None = None,
) -> RefreshCost:
    """Estimate what a refresh takes, by making the tensors of the first documents."""
    sample = texts_of(list(islice(connector.scan(), _SAMPLE)), Template())
    documents = connector.count()
    started = time.monotonic()
    numbers = sum(each.tokens.size for each in Maker(encoder, settings).make(sample))
    seconds = time.monotonic() - started
    share = documents / max(1, len(sample))
    least = documents / documents_per_s if documents_per_s else 0.0
    size = round(share * numbers * np.dtype(settings.dtype).itemsize)
    return RefreshCost(documents, size, max(share * seconds, least))


def refresh_tensors(
    store: TensorReplacing,
    encoder: TokenEmbedder,
    settings: TensorSettings,
    *,
    progress: Progress,
    template: Template | None = None,
    documents_per_s: float | None = None,
) -> TensorReport:
    """Make all tensors anew with `settings`; the old ones serve until the new are complete.

    What others change meanwhile is caught up with before the new ones serve, and once more after.
    Killed at any moment, it goes on when run again with the same settings. Where these serve
    already, it brings them up to date, and deletes what a refresh to others has begun. Raises
    ConfigError where there are no tensors, and PartialWriteError, the old ones serving on, where
    new ones are refused.
    """
    maker = Maker(encoder, settings, documents_per_s=documents_per_s)
    there = store.tensor_settings()
    if there is None:
        raise ConfigError(
            f"{store.schema().location} has no token tensors to make anew; rr tensors add makes "
            "the first"
        )
    reports: list[TensorReport] = []
    if there == settings:
        store.discard_draft()
    else:
        draft = store.draft_tensors(settings)
        beside = Additions(store, draft.hashes, draft.ids, draft.delete)
        for doing in ("making tensors", "looking for what changed meanwhile"):
            with progress(doing) as advance:
                report = fill(beside, draft.write, maker, template=template, on_progress=advance)
            if report.refused:
                id_, reason = next(iter(report.refusals.items()))
                raise PartialWriteError(
                    f"{report.refused:,} of the new tensors were refused, first that of {id_!r}: "
                    f"{reason}. The old ones go on serving; what is written is kept, and the same "
                    "command goes on from there",
                    dict(report.refusals),
                )
            reports.append(report)
        draft.take_over()
    with progress("looking for what changed since") as advance:
        last = fill(
            of_store(store), store.write_tensors, maker, template=template, on_progress=advance
        )
    return replace(
        last,
        **{
            name: sum(getattr(each, name) for each in (*reports, last))
            for name in ("added", "replaced", "deleted", "truncated")
        },
    )
