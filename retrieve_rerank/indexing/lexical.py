"""A lexical ranking for an index that others made: BM25's weights, computed and kept up to date.

The index's documents are read page by page, and what is held at once does not grow with their
number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

from retrieve_rerank.connectors.batches import sample
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.lexical_store import LexicalStore, WeighedTerms
from retrieve_rerank.errors import IndexMismatchError, InputError, PartialWriteError
from retrieve_rerank.indexing.additions import (
    REFUSALS_KEPT,
    AdditionReport,
    Additions,
    AdditionStatus,
    compare,
    delete_orphans,
    texts,
)
from retrieve_rerank.text.template import Template


@dataclass(frozen=True, slots=True)
class LexicalStatus(AdditionStatus):
    """How the weights in an index stand to its documents."""

    settings: Bm25 | None
    """How they were made; None where there are none."""


def add_lexical(
    store: LexicalStore,
    *,
    language: str | None = None,
    template: Template | None = None,
    companion: bool | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> AdditionReport:
    """Bring the weights of an index up to date: write what is missing or stale, delete orphans.

    Language, unless it is given, and average length are told by the first documents, and stay.
    Stopped at any moment, it has kept what it wrote, and goes on when run again. `companion` keeps
    new ones in an index beside the documents' own (True) or in it (False); None leaves it to the
    backend. `on_progress` hears how many documents have been dealt with since it was last called.
    Raises IndexMismatchError where weights for another language are there, and InputError where
    there are no documents.
    """
    template = template or Template()
    settings = _settings(store, language, template)
    store.create_lexical(settings, companion=companion)
    documents = added = replaced = refused = 0
    refusals: dict[str, str] = {}
    for page in texts(store, template):
        there = store.lexical_hashes([each.id for each in page])
        wanted = [
            WeighedTerms(each.id, each.content_hash, settings.document(each.text))
            for each in page
            if there.get(each.id) != each.content_hash
        ]
        failures = _write(store, wanted)
        refused += len(failures)
        refusals.update(islice(failures.items(), REFUSALS_KEPT - len(refusals)))
        written = [each.id for each in wanted if each.id not in failures]
        replaced += sum(id_ in there for id_ in written)
        added += sum(id_ not in there for id_ in written)
        documents += len(page)
        if on_progress:
            on_progress(len(page))
    return AdditionReport(
        documents=documents,
        added=added,
        replaced=replaced,
        deleted=delete_orphans(_of(store), documents - refused),
        refused=refused,
        refusals=refusals,
    )


def lexical_status(
    store: LexicalStore,
    *,
    template: Template | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> LexicalStatus:
    """Count which documents have weights of their text as it is now; reads all documents."""
    settings = store.lexical_settings()
    found = compare(
        _of(store), template or Template(), exist=settings is not None, on_progress=on_progress
    )
    return LexicalStatus(**asdict(found), settings=settings)


def _settings(store: LexicalStore, language: str | None, template: Template) -> Bm25:
    there = store.lexical_settings()
    if there is not None:
        if language not in (None, there.language):
            raise IndexMismatchError(
                f"the words are weighed for {there.language}; got language {language!r}. Go on "
                "without it, or delete the weights first: rr lexical drop"
            )
        return there
    first, _ = sample(store.scan())
    if not first:
        raise InputError("the index has no documents to tell language and average length by")
    return Bm25.fit([template.render(each) for each in first], language=language)


def _write(store: LexicalStore, terms: Sequence[WeighedTerms]) -> Mapping[str, str]:
    """Write a batch; return why some were refused, and raise only where all of them were."""
    try:
        if terms:
            store.write_lexical(terms)
    except PartialWriteError as exc:
        if len(exc.failures) >= len(terms) > 1:
            raise
        return exc.failures
    return {}


def _of(store: LexicalStore) -> Additions:
    return Additions(store, store.lexical_hashes, store.lexical_ids, store.delete_lexical)
