"""What is known of an open collection: read when connecting, and again when it may have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qdrant_client import models

from retrieve_rerank.base import Embedder, SparseEncoder
from retrieve_rerank.connectors.field_types import Fields, add_fields
from retrieve_rerank.connectors.hybrid import BM25, DENSE, SPARSE, Fusion
from retrieve_rerank.connectors.lexical import Bm25
from retrieve_rerank.connectors.missing import missing
from retrieve_rerank.connectors.qdrant.added import (
    BM25_TERMS,
    TOKEN_TENSORS,
    Added,
    Kind,
    find_companions,
    in_place,
)
from retrieve_rerank.connectors.qdrant.client import Call, Server, Steps
from retrieve_rerank.connectors.qdrant.detection import (
    FieldChoice,
    detect,
    indexed_paths,
    sparse_of,
    their_sparse_names,
    vector_fields,
)
from retrieve_rerank.connectors.qdrant.layout import ADDED_BM25, Layout, Lexical
from retrieve_rerank.connectors.qdrant.lookup import confirm, points_with_vector, probe_text_index
from retrieve_rerank.connectors.qdrant.record import IndexRecord, load_record, real_name
from retrieve_rerank.connectors.qdrant.versions import (
    HAS_VECTOR,
    TEXT_QUERY,
    Limits,
    Version,
    read_version,
)
from retrieve_rerank.connectors.query_encoder import QueryEncoder
from retrieve_rerank.errors import (
    ConfigError,
    IndexMismatchError,
    IndexNotFoundError,
    RetrieveRerankError,
)

SAMPLE = 50  # points that tell what the payload's fields are for
_MAX_SAMPLED_FIELDS = 1000

_TYPES = {
    **{"keyword": "string", "text": "string", "uuid": "string", "datetime": "date"},
    **{"integer": "integer", "float": "float", "bool": "boolean"},
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user has said of an index and of how it is searched."""

    text_field: str | None = None
    title_field: str | None = None
    vector_field: str | None = None
    sparse_field: str | None = None
    encoder: str | Embedder | None = None
    sparse_encoder: str | SparseEncoder | None = None
    hnsw_ef: int | None = None
    oversample: float | None = None
    fusion: Fusion = field(default_factory=Fusion)


@dataclass(frozen=True, slots=True)
class State:
    """A collection as it was last seen."""

    name: str
    """What the address calls it: a collection, or an alias, which may move."""
    collection: str
    """What requests go to: the collection that an alias stood for, so that none mixes two."""
    version: Version
    info: models.CollectionInfo
    record: IndexRecord
    layout: Layout
    fields: Fields
    encoder: QueryEncoder
    empty: bool
    """Whether there was no document to tell anything by."""
    companions: Mapping[Kind, Added] = field(default_factory=dict)
    """What is added in collections beside this one."""
    found: Lexical | None = None
    """What ranks by words where nothing is added."""

    @property
    def ours(self) -> bool:
        """Whether the collection is an index of our own schema."""
        return self.record.schema is not None

    @property
    def described(self) -> tuple[object, ...]:
        """What differs where the collection is another one, as far as its description tells."""
        params = self.info.config.params
        return (
            *(self.collection, self.info.created_at, params.vectors, params.sparse_vectors),
            *(self.record.schema, self.record.encoder),
        )

    @property
    def searched_by(self) -> tuple[object, ...]:
        """What a search goes by; where it differs, so may what was found."""
        there = self.tensors
        tensors = there and (there.collection, there.place, there.settings)
        return (*self.described, self.layout, self.bm25, self.words_beside is None, tensors)

    @property
    def limits(self) -> Limits:
        """What the server's strict mode allows."""
        return Limits.of(self.info)

    @property
    def indexed(self) -> dict[str, str]:
        """List the payload's indexes: path -> type."""
        return indexed_paths(self.info)

    def added(self, kind: Kind) -> Added | None:
        """Find the vectors of a kind that this library added, here or in a companion."""
        here = in_place(kind, self.collection, self.info, self.record)
        return here or self.companions.get(kind)

    @property
    def tensors(self) -> Added | None:
        """The token tensors, where there are any that we know the model of."""
        return self.added(TOKEN_TENSORS)

    @property
    def bm25(self) -> Bm25 | None:
        """How BM25's weights were made, those of an own index or those that were added."""
        added = self.added(BM25_TERMS)
        return added.settings if added else self.record.bm25

    @property
    def words_beside(self) -> Added | None:
        """The companion with BM25's weights, where they are in one."""
        added = self.added(BM25_TERMS)
        return added if added and added.companion else None

    def ranking_by_added(self) -> State:
        """Rank by words that were added, where there are any, before any others."""
        own = self.added(BM25_TERMS) is not None
        lexical = Lexical("own", ADDED_BM25) if own else self.found
        return replace(self, layout=replace(self.layout, lexical=lexical))

    @property
    def rankings(self) -> list[str]:
        """List the rankings that can be searched."""
        there = {
            DENSE: self.layout.dense is not None and self.encoder.exists,
            BM25: self.layout.lexical is not None,
            SPARSE: self.layout.sparse is not None,
        }
        return [name for name, is_there in there.items() if is_there]


def read_state(
    server: Server, name: str, options: Options, *, encoder: QueryEncoder | None = None
) -> Steps[State]:
    """Read all that is to be known; raises SchemaError where it cannot be told.

    `encoder` is that of what the name stood for before, which may be loaded already.
    """
    if options.fusion.method == "server-linear":
        raise ConfigError("Qdrant has no server-linear; it has server-rrf")
    version = read_version((yield Call("info")), server.location)
    collection = yield from real_name(name)
    try:
        info: models.CollectionInfo = yield Call("get_collection", {"collection_name": collection})
    except IndexNotFoundError as exc:
        raise missing(server.location, name, (yield from _names())) from exc
    server.max_timeout_s = Limits.of(info).timeout_s
    values = yield from load_record(collection, version, info)
    record = IndexRecord.read(values, server.location)
    ours = record.schema is not None
    if ours and record.encoder is None and options.encoder is not None:
        raise IndexMismatchError(
            f"{server.location} was made without an encoder, for BM25 alone; search it without "
            "one, or make a new one with it"
        )
    if encoder is not None:
        encoder = encoder.of_index_with(record.encoder)
    else:
        encoder = QueryEncoder(server.location, recorded=record.encoder, given=options.encoder)
    sample: Sequence[models.Record] = []
    if not ours:
        arguments = {
            "collection_name": collection,
            "limit": int(min(SAMPLE, Limits.of(info).query)),
            "with_payload": True,
            "with_vectors": their_sparse_names(info),
        }
        sample, _ = yield Call("scroll", arguments)
        for said in filter(None, (options.text_field, options.title_field)):
            sample = [*sample, *(yield from confirm(collection, info, sample, said))]
        for sparse in their_sparse_names(info) if version >= HAS_VECTOR else ():
            if sample and not any(sparse_of(each, sparse) for each in sample):
                sample = [*sample, *(yield from points_with_vector(collection, sparse))]
    dimension = encoder.dimension
    several = len(vector_fields(info)) > 1 and options.vector_field is None
    if encoder.exists and dimension is None and several:
        dimension = yield lambda: encoder.load().dimension
    choice = FieldChoice(
        options.text_field,
        options.title_field,
        options.vector_field,
        options.sparse_field,
        encoder.exists,
        dimension,
        options.sparse_encoder is not None,
    )
    layout = detect(info, sample, choice, ours=ours, text_queries=version >= TEXT_QUERY)
    if server.local and layout.lexical is None and sample:
        layout = yield from probe_text_index(collection, layout)
    state = State(
        name,
        collection,
        version,
        info,
        record,
        layout,
        record.fields if ours else _sampled_fields(layout, info, sample),
        encoder,
        empty=not ours and not sample,
        companions=(yield from find_companions(collection, version, info, record)),
        found=layout.lexical,
    ).ranking_by_added()
    if state.rankings and not any(map(options.fusion.uses, state.rankings)):
        raise ConfigError(
            f"the fusion's weights ({options.fusion.weights}) leave no ranking; there are: "
            f"{', '.join(state.rankings)}"
        )
    return state


def _names() -> Steps[list[str] | None]:
    """List the collections and aliases; None where that is not allowed."""
    try:
        collections = (yield Call("get_collections")).collections
        aliases = (yield Call("get_aliases")).aliases
    except RetrieveRerankError:
        return None
    return [*(each.name for each in collections), *(each.alias_name for each in aliases)]


def reread(server: Server, state: State, options: Options, *, fully: bool = False) -> Steps[State]:
    """Read again what may have changed; all of it where the name stands for something else.

    With `fully`, looks at a sample of the documents too. Raises as `read_state` does.
    """
    collection = yield from real_name(state.name)
    if collection == state.collection and not state.empty and not fully:
        try:
            info = yield Call("get_collection", {"collection_name": collection})
        except IndexNotFoundError:  # which reading all of it says in more words
            return (yield from read_state(server, state.name, options, encoder=state.encoder))
        server.max_timeout_s = Limits.of(info).timeout_s
        record = IndexRecord.read(
            (yield from load_record(collection, state.version, info)), server.location
        )
        fields = record.fields if record.schema is not None else state.fields
        companions = yield from find_companions(collection, state.version, info, record)
        again = replace(state, info=info, record=record, fields=fields, companions=companions)
        again = again.ranking_by_added()
        if again.described == state.described:
            return again
    return (yield from read_state(server, state.name, options, encoder=state.encoder))


def _sampled_fields(
    layout: Layout, info: models.CollectionInfo, sample: Sequence[models.Record]
) -> Fields:
    """Take the fields of a sample's metadata, and those that have an index, with their types."""
    fields: Fields = {}
    for each in sample:
        if len(fields) < _MAX_SAMPLED_FIELDS:
            add_fields(fields, layout.metadata_of(each.payload or {}))
    for path, kind in indexed_paths(info).items():
        inside = path.removeprefix(f"{layout.metadata}.") if layout.metadata else path
        if kind in _TYPES and (layout.metadata is None or inside != path):
            name = inside.replace("[]", "").replace('"', "")
            fields.setdefault(name, {})[inside] = _TYPES[kind]
    return fields
