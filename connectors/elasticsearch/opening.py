"""Making and opening an index: what is asked once, so that searches need not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from retrieve_rerank.base import Embedder, SparseEncoder
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
    KnnSettings,
    quoted,
    search,
    search_body,
)
from retrieve_rerank.connectors.elasticsearch.responses import hits_of
from retrieve_rerank.connectors.elasticsearch.schema import (
    new_index,
    own_layout,
    recorded_encoder,
)
from retrieve_rerank.connectors.elasticsearch.versions import Server, ask_server
from retrieve_rerank.connectors.encoder_facts import EncoderFacts
from retrieve_rerank.connectors.hybrid import BM25, DENSE, SPARSE, Fusion
from retrieve_rerank.connectors.missing import missing, present
from retrieve_rerank.connectors.query_encoder import QueryEncoder
from retrieve_rerank.errors import (
    ConfigError,
    ConnectorError,
    IndexExistsError,
    IndexNotFoundError,
    RetrieveRerankError,
    UnsupportedServerError,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user has said of an index and of how it is searched."""

    fields: FieldChoice = field(default_factory=FieldChoice)
    encoder: str | Embedder | None = None
    sparse_encoder: str | SparseEncoder | None = None
    knn: KnnSettings = field(default_factory=KnnSettings)
    fusion: Fusion = field(default_factory=Fusion)

    def rankings(self, opened: Opened) -> list[str]:
        """Name the rankings that searches use."""
        return [name for name in self.all_rankings(opened) if self.fusion.uses(name)]

    def all_rankings(self, opened: Opened) -> list[str]:
        """Name the rankings that can be searched, those that the fusion gives no weight too."""
        layout, semantic = opened.layout, opened.layout.semantic
        there = {
            DENSE: (layout.vector is not None and opened.encoder.exists)
            or (semantic is not None and semantic.ranking == DENSE),
            BM25: bool(layout.lexical),
            SPARSE: (layout.sparse is not None and self.sparse_encoder is not None)
            or (semantic is not None and semantic.ranking == SPARSE),
        }
        return [name for name, is_there in there.items() if is_there]


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

    @property
    def indexes(self) -> Mapping[str, str]:
        """The concrete indexes that the name stood for when it was opened: name -> uuid.

        A hit whose `_index` is not among them, or another uuid under one of these names, means
        that the name stands for something else by now; see `target`.
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


def create_index(
    name: str, location: str, encoder: EncoderFacts | None, language: str | None
) -> Steps[None]:
    """Make an empty index; raise IndexExistsError, and ConfigError for what is not one name."""
    if not is_plain(name):
        raise ConfigError(
            f"{location} is not the name of one index, as one to be made needs; expected letters "
            "in lower case, digits, dots and hyphens"
        )
    yield from ask_server(location)
    try:
        yield Request("PUT", f"/{quoted(name)}", new_index(encoder, language), safe=False)
    except IndexExistsError as exc:
        indexes: list[str] = []
        with suppress(ConnectorError):  # not every user may ask, and it may be half made
            indexes = list((yield Request("GET", f"/{quoted(name)}")))
        raise present(location, name, indexes) from exc


def open_index(
    name: str, location: str, options: Options, *, encoder: QueryEncoder | None = None
) -> Steps[Opened]:
    """Find out what an index is; `encoder` is that of what the name stood for before.

    Raises what `detect` does, IndexNotFoundError, UnsupportedServerError and IndexMismatchError,
    and ConfigError where it cannot be searched as `options` want.
    """
    server = yield from ask_server(location)
    index = yield from ask_index(name, location)
    recorded = recorded_encoder(index)
    if encoder is not None:
        encoder = encoder.of_index_with(recorded)
    else:
        encoder = QueryEncoder(location, recorded=recorded, given=options.encoder)
    asked, layout = options.fields, own_layout(index)
    if layout is None:
        several = len({each.dimension for each in index.vectors()}) > 1 and asked.vector is None
        if several and encoder.exists:
            yield encoder.load  # its dimension tells which vectors it is for
        asked = replace(asked, dimension=encoder.dimension)
        check_asked(index, asked)
        samples = yield from _samples(name, location, index)
        layout = detect(index, samples, asked)
        check_alike(index, layout, asked, searches_vectors=encoder.exists)
    elif named := [each for each in (asked.text, asked.title, asked.vector) if each]:
        raise ConfigError(
            f"{location} says itself what its fields are for; leave out {', '.join(named)}"
        )
    layout = _of_several(index, layout)
    filters = filter_fields(index, layout)
    opened = Opened(name, location, server, index, layout, filters, encoder)
    _check(opened, options)
    return opened


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


def _check(opened: Opened, options: Options) -> None:
    if options.knn.oversample is not None and not opened.server.has(8, 18):
        raise UnsupportedServerError(
            "oversample needs Elasticsearch 8.18 or newer; "
            f"{opened.location} runs {opened.server.version or 'an unknown release'}"
        )
    there = options.all_rankings(opened)
    if there and not options.rankings(opened):
        raise ConfigError(
            f"the fusion's weights ({dict(options.fusion.weights)}) leave no ranking; there are: "
            f"{', '.join(there)}"
        )


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
