"""Opening an index: what is asked once, so that searches need not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from retrieve_rerank.base import Embedder
from retrieve_rerank.connectors.elasticsearch.agreement import (
    check_alike,
    check_asked,
    notes_on_differences,
)
from retrieve_rerank.connectors.elasticsearch.client import Request, Steps
from retrieve_rerank.connectors.elasticsearch.detection import SAMPLE, FieldChoice, detect
from retrieve_rerank.connectors.elasticsearch.filter_fields import filter_fields
from retrieve_rerank.connectors.elasticsearch.filtering import FilterFields
from retrieve_rerank.connectors.elasticsearch.layout import Layout
from retrieve_rerank.connectors.elasticsearch.mapping import VECTOR_TYPES, Index
from retrieve_rerank.connectors.elasticsearch.names import SIDECAR_PREFIX, is_plain
from retrieve_rerank.connectors.elasticsearch.requests import (
    quoted,
    search,
    search_body,
)
from retrieve_rerank.connectors.elasticsearch.responses import hits_of
from retrieve_rerank.connectors.elasticsearch.schema import own_layout, recorded_encoder
from retrieve_rerank.connectors.elasticsearch.versions import Server, ask_server
from retrieve_rerank.connectors.missing import missing
from retrieve_rerank.connectors.query_encoder import QueryEncoder
from retrieve_rerank.errors import ConfigError, IndexNotFoundError, RetrieveRerankError


@dataclass(frozen=True, slots=True)
class Opened:
    """An index as it was found."""

    name: str
    """What it is called in requests: an index, an alias, a data stream, several or a pattern."""
    location: str
    server: Server
    index: Index
    layout: Layout
    filters: FilterFields
    encoder: QueryEncoder
    asked: FieldChoice
    """What the user said of the fields."""

    @property
    def indexes(self) -> Mapping[str, str]:
        """The concrete indexes that the name stood for when it was opened: name -> uuid.

        A hit whose `_index` is not among them, or another uuid under one of these names, means
        that the name stands for something else by now; see `moving`.
        """
        return self.index.indexes

    @property
    def one_index(self) -> str:
        """The concrete index; raise ConfigError where there are several."""
        if len(self.indexes) > 1:
            raise ConfigError(
                f"{self.location} stands for {len(self.indexes)} indexes "
                f"({', '.join(self.indexes)}), and this takes one: name it"
            )
        return next(iter(self.indexes))

    @property
    def single_name(self) -> str:
        """The name for requests that take one index, writing above all; raise as `one_index` does.

        A plain name is kept, as it may be the only one allowed. Patterns and date math are
        replaced by the index they stood for: what they stand for now may be another.
        """
        index = self.one_index
        return self.name if is_plain(self.name) else index


def open_index(
    name: str, location: str, asked: FieldChoice, encoder: str | Embedder | QueryEncoder | None
) -> Steps[Opened]:
    """Find out what an index is; `encoder` may be that of what the name stood for before.

    Raises what `detect` does, and IndexNotFoundError, UnsupportedServerError and
    IndexMismatchError.
    """
    server = yield from ask_server(location)
    index = yield from ask_index(name, location)
    recorded = recorded_encoder(index)
    if isinstance(encoder, QueryEncoder):
        query_encoder = encoder.of_index_with(recorded)
    else:
        query_encoder = QueryEncoder(location, recorded=recorded, given=encoder)
    said, layout = asked, own_layout(index)
    if layout is None:
        several = len({each.dimension for each in index.vectors()}) > 1 and asked.vector is None
        if several and query_encoder.exists:
            yield query_encoder.load  # its dimension tells which vectors it is for
        asked = replace(asked, dimension=query_encoder.dimension)
        check_asked(index, asked)
        samples = yield from _samples(name, location, index)
        layout = detect(index, samples, asked)
        check_alike(index, layout, asked, searches_vectors=query_encoder.exists)
    elif named := [field for field in (asked.text, asked.title, asked.vector) if field]:
        raise ConfigError(
            f"{location} says itself what its fields are for; leave out {', '.join(named)}"
        )
    layout = _of_several(index, layout)
    filters = filter_fields(index, layout)
    return Opened(name, location, server, index, layout, filters, query_encoder, said)


def opened_anew(opened: Opened) -> Steps[Opened]:
    """Open what the name stands for now, by what the user said when it was opened before."""
    anew = open_index(opened.name, opened.location, opened.asked, opened.encoder)
    return (yield from anew)


def reopened(opened: Opened) -> Steps[Opened]:
    """Read anew what documents that came since may have changed."""
    index = yield from ask_index(opened.name, opened.location)
    own = own_layout(index)
    layout = _of_several(index, own) if own else opened.layout
    filters = filter_fields(index, layout)
    return replace(opened, index=index, layout=layout, filters=filters)


def ask_index(name: str, location: str) -> Steps[Index]:
    """Read mapping and settings; raise IndexNotFoundError where there are none."""
    try:
        answer = yield Request("GET", f"/{quoted(name)}")
    except IndexNotFoundError as exc:
        raise missing(location, name, (yield from _names())) from exc
    if not answer:  # a pattern that nothing fits
        raise missing(location, name, (yield from _names()))
    return Index.parse(answer)


def _of_several(index: Index, layout: Layout) -> Layout:
    """Add to a layout what follows from there being several indexes, or one."""
    notes = (*layout.notes, *notes_on_differences(index, layout))
    return replace(layout, several=len(index.indexes) > 1, notes=notes)


def _names() -> Steps[list[str] | None]:
    """List the indexes and aliases that are not hidden; None where that is not allowed."""
    try:
        answer = yield Request("GET", "/_resolve/index/*")
    except RetrieveRerankError:
        return None
    kinds = [answer.get(kind, ()) for kind in ("indices", "aliases", "data_streams")]
    names = (str(each["name"]) for kind in kinds for each in kind)
    return [name for name in names if not name.startswith((".", SIDECAR_PREFIX))]


def _samples(name: str, location: str, index: Index) -> Steps[list[dict[str, Any]]]:
    vectors = [each.path for each in index.of_type(*VECTOR_TYPES)]
    size = min(SAMPLE, index.max_result_window)
    source = {"excludes": vectors}
    if len(index.indexes) == 1:
        answer = yield search(name, [search_body({}, size=size, source=source)])
        hits = hits_of(answer, location)
    else:  # of each, as hits alone would all be of the first
        bodies = [
            search_body(
                {"query": {"bool": {"filter": [{"term": {"_index": each}}]}}},
                size=max(1, size // len(index.indexes)),
                source=source,
            )
            for each in list(index.indexes)[:size]
        ]
        answer = yield search(name, bodies)
        hits = [hit for each in answer["responses"] for hit in hits_of(each, location)]
    return [dict(hit.get("_source") or {}) for hit in hits]
