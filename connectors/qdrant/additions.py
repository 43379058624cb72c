"""Vectors added to the documents of a collection, ours or others': made room for, written, counted.

With each goes the hash of the text that it was made from.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from qdrant_client import models

from retrieve_rerank.base.cutting import cut
from retrieve_rerank.connectors.qdrant import companions, in_place
from retrieve_rerank.connectors.qdrant.added import Added, Entry, Kind, Place
from retrieve_rerank.connectors.qdrant.client import Steps
from retrieve_rerank.connectors.qdrant.collection import Collection
from retrieve_rerank.connectors.qdrant.emptying import empty
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.reader import Reader
from retrieve_rerank.connectors.qdrant.record import IndexRecord
from retrieve_rerank.connectors.qdrant.refusals import partial, write_what_can_be
from retrieve_rerank.connectors.qdrant.versions import VECTOR_NAMES, Version
from retrieve_rerank.connectors.qdrant.writer import BATCH_BYTES, BATCH_POINTS
from retrieve_rerank.errors import (
    IndexExistsError,
    IndexMismatchError,
    PartialWriteError,
    PermissionDeniedError,
    RetrieveRerankError,
    UnsupportedServerError,
)

logger = logging.getLogger(__name__)


class Item(Protocol):
    """What is added to a document."""

    @property
    def id(self) -> str:
        """Of the document."""

    @property
    def content_hash(self) -> str:
        """Of the text that it is made from."""


SettingsT = TypeVar("SettingsT")
ItemT = TypeVar("ItemT", bound=Item)


class Additions(ABC, Generic[SettingsT, ItemT]):
    """The vectors of one kind that are added to a collection."""

    kind: ClassVar[Kind]

    def __init__(self, collection: Collection, reader: Reader) -> None:
        self._collection = collection
        self._reader = reader
        self._server = collection.server
        self._begun = collection.state
        self._untried = False  # whether there is room made here that nothing was written to yet

    @abstractmethod
    def vectors(self, place: Place, settings: SettingsT, version: Version) -> dict[str, Any]:
        """Word the vectors of a companion, for `create_collection`; raise where it cannot be."""

    @abstractmethod
    def room(
        self, place: Place, settings: SettingsT, collection: str, version: Version
    ) -> Steps[None]:
        """Add the vectors to a collection that is there."""

    @abstractmethod
    def vector(self, item: ItemT) -> Any:
        """Make a point's vector; None for an item that has none."""

    @abstractmethod
    def size(self, item: ItemT) -> int:
        """Estimate the bytes that an item takes in a request."""

    def settings(self) -> SettingsT | None:
        """Tell how the vectors that are there were made; None where there are none."""
        self._begin()
        there = self._there
        return there.settings if there else None

    def create(self, settings: SettingsT, *, companion: bool | None = None) -> None:
        """Make room in a companion or in the collection itself; None is for what suits it.

        Raises IndexMismatchError where there are vectors of other settings or at the other place,
        IndexExistsError where something else has the companion's name, and UnsupportedServerError
        for the collection itself before Qdrant 1.18.
        """
        state = self._begin()
        if self._is_there(settings, companion):
            return
        place = self.kind.places[0]
        vectors = self.vectors(place, settings, state.version)
        if companion is None and companions.wanted_for(state):
            companion = True
        if not companion:
            companion = not self._make_room(state, settings, or_fail=companion is False)
        if companion:
            record = self.kind.written(IndexRecord(), settings)
            self._server.run(companions.make(state, self.kind, place, record, vectors))
        self._begin()
        if not self._is_there(settings, companion):
            raise IndexExistsError(
                f"the collection beside {self._server.location} that its {self.kind.called} would "
                f"be kept in, with {place.suffix} after its name, is there and was not made "
                "for them: it is neither used nor deleted. Give it another name"
            )
        self._untried = True

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return document id -> content hash, for those of these documents with a vector."""
        there, points = self._there, self._points(ids)
        if there is None or not points:
            return {}
        key = there.place.hash
        found = self._server.ask(
            "retrieve", collection_name=there.collection, ids=list(points), with_payload=[key]
        )
        return {points[each.id]: each.payload[key] for each in found if key in (each.payload or {})}

    def write(self, items: Sequence[ItemT]) -> None:
        """Store vectors, leaving out documents that are gone; raise PartialWriteError.

        Where nothing can be written to room that was made here, it is taken away again.
        """
        refused: dict[str, str] = {}
        try:
            there = self._there
            most = min(BATCH_POINTS, there.limits.upsert_batch) if there else BATCH_POINTS
            for batch in cut(items, self.size, size=BATCH_BYTES, count=most):
                refused |= write_what_can_be(
                    batch, lambda some: self._server.run(self._write(some)), lambda each: each.id
                )
            if refused:
                raise partial(refused)
        except RetrieveRerankError as exc:
            about_documents = isinstance(exc, PartialWriteError) and (
                len(refused) < len(items) or len(items) == 1
            )
            if self._untried and not about_documents:
                self._take_back()
            raise
        self._untried = False

    def ids(self) -> Iterator[str]:
        """Iterate over the ids that have a vector, those of deleted documents among them."""
        state, there = self._state, self._there
        if there is None:
            return
        key, layout = there.place.hash, state.layout
        what: dict[str, Any] = {
            "collection_name": there.collection,
            "with_payload": [key, *([layout.id] if layout.id else [])],
        }
        for points in self._reader.pages(state, **what):
            yield from (layout.document_id(each) for each in points if key in (each.payload or {}))

    def delete(self, ids: Sequence[str]) -> None:
        """Delete the vectors of these documents."""
        points = list(self._points(ids))
        refused = write_what_can_be(points, lambda some: self._server.run(self._delete(some)), str)
        if refused:
            raise partial(refused)

    def drop(self) -> None:
        """Delete all vectors, the room made for them, and what is recorded of them."""
        state = self._begin()
        there = self._there
        if there is not None and there.companion:
            self._server.run(companions.drop(there.collection, state.version))
        else:
            for place in self.kind.places:
                if place.is_in(state.info):
                    self._empty(state, place)
        if self.kind.is_recorded(state.record):
            self._collection.save(self.kind.written(state.record, None))
        self._begin()

    def _begin(self) -> State:
        """Look what there is, for work that is on one collection until the next look."""
        self._begun = self._server.run(self._collection.refresh())
        return self._begun

    @property
    def _state(self) -> State:
        """The collection as it was last seen, which is the one that this work began on."""
        return self._collection.same_as(self._begun)

    @property
    def _there(self) -> Added | None:
        return self._state.added(self.kind)

    def _is_there(self, settings: SettingsT, companion: bool | None) -> bool:
        """Tell whether there is room for these vectors; raise where it is for others."""
        there, state = self._there, self._state
        room = any(place.is_in(state.info) for place in self.kind.places)
        other = there is None and room and not companion
        if other or (there is not None and there.settings != settings):
            raise IndexMismatchError(
                f"{self._server.location} has {self.kind.called} of other settings "
                f"({there and there.settings}); got {settings}. Drop them first: "
                f"{self.kind.command} drop"
            )
        if there is not None and companion not in (None, there.companion):
            raise IndexMismatchError(
                f"the {self.kind.called} of {self._server.location} are kept in "
                f"{there.collection}; drop them first: {self.kind.command} drop"
            )
        return there is not None

    def _make_room(self, state: State, settings: SettingsT, *, or_fail: bool) -> bool:
        """Make room in the collection itself; the record comes first, so that what a crash leaves
        is known as ours. Return whether the key may do that, unless `or_fail`."""
        if state.version < VECTOR_NAMES:
            raise UnsupportedServerError(
                f"Qdrant {state.version[0]}.{state.version[1]} cannot add vectors to a collection; "
                "1.18 can. They can be kept in a collection beside it: --companion"
            )
        try:
            record = self.kind.written(state.record, settings)
            self._collection.save(record)
            place = self.kind.served_in(record)
            self._server.run(self.room(place, settings, state.collection, state.version))
        except PermissionDeniedError:
            if or_fail:
                raise
            return False
        except IndexExistsError:  # another process was faster
            return True
        except RetrieveRerankError:
            self._take_back()
            raise
        return True

    def _take_back(self) -> None:
        self._untried = False
        try:
            self.drop()
        except RetrieveRerankError as exc:
            logger.warning(
                "nothing could be written, and the room made for it stays (%s): %s drop",
                exc,
                self.kind.command,
            )

    def _points(self, ids: Sequence[str]) -> dict[models.ExtendedPointId, str]:
        layout = self._state.layout
        points = {layout.point_id(id_): id_ for id_ in ids}
        return {point: id_ for point, id_ in points.items() if point is not None}

    def _empty(self, state: State, place: Place) -> None:
        empty(self._server, self._reader, state, place)

    def _write(self, items: Sequence[ItemT]) -> Steps[None]:
        state, there = self._state, self._there
        if there is None:
            raise IndexMismatchError(
                f"the {self.kind.called} of {self._server.location} were dropped meanwhile; run "
                f"{self.kind.command} add again"
            )
        points = self._points([each.id for each in items])
        found = {points[each.id]: each for each in (yield from in_place.find(state, list(points)))}
        entries = [
            (each.id, Entry(found[each.id], self.vector(each), each.content_hash))
            for each in items
            if each.id in found
        ]
        if not entries:
            return
        if there.companion:
            yield from companions.write(there, entries, id_key=state.layout.id)
        else:
            yield from in_place.write(state, there.place, [entry for _, entry in entries])

    def _delete(self, points: Sequence[models.ExtendedPointId]) -> Steps[None]:
        state, there = self._state, self._there
        if there is not None and there.companion:
            yield from companions.delete_points(there, points)
        elif there is not None:
            found = yield from in_place.find(state, points)
            yield from in_place.delete(state, there.place, found)
