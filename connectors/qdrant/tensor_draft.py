"""Token tensors made beside those that serve, whose place they take in one step.

They are kept as those that serve are, in the other of two places: as another named vector of the
same points, or in another companion. In the collection itself its record says which place serves,
and is changed at once. Of two companions the first serves once it is complete, and the second once
the first is deleted. Searches go on with what they have seen until it is gone, and then look.
"""

from __future__ import annotations

from dataclasses import replace

from retrieve_rerank.base import TensorDraft, TensorSettings
from retrieve_rerank.connectors.qdrant import companions
from retrieve_rerank.connectors.qdrant.added import TOKEN_TENSORS, Added, Place, read_companion
from retrieve_rerank.connectors.qdrant.client import Steps
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.record import IndexRecord, save_record
from retrieve_rerank.connectors.qdrant.tensors import Tensors
from retrieve_rerank.connectors.qdrant.versions import VECTOR_NAMES
from retrieve_rerank.errors import (
    IndexExistsError,
    IndexMismatchError,
    PermissionDeniedError,
    UnsupportedServerError,
)


class Draft(Tensors, TensorDraft):
    """Token tensors of a collection that do not serve yet."""

    _found: Added | None = None

    @property
    def _there(self) -> Added | None:
        return self._found

    def look(self) -> TensorSettings | None:
        """Tell how those were made that were begun; None where none were."""
        self._found = self._server.run(_find(self._begin()))
        return self._found.settings if self._found else None

    def begin(self, settings: TensorSettings) -> None:
        """Make room, or find what was begun; what was begun with other settings is deleted.

        Raises UnsupportedServerError, PermissionDeniedError, IndexExistsError, ConfigError for
        int8 before Qdrant 1.20, and IndexMismatchError where no tensors serve.
        """
        if self.look() == settings:
            return
        self.discard()
        state = self._begun
        if state.tensors is None:
            raise self._dropped()
        place = _other(state.tensors)
        try:
            if state.tensors.companion:
                vectors = self.vectors(place, settings, state.version)
                record = IndexRecord(draft=settings)
                self._server.run(companions.make(state, self.kind, place, record, vectors))
            else:
                self._require_room(state)
                self._collection.save(replace(state.record, draft=settings))
                self._server.run(self.room(place, settings, state.collection, state.version))
        except PermissionDeniedError as exc:
            raise PermissionDeniedError(
                f"{self._server.location}: the new token tensors want a collection "
                f"{state.collection}{place.suffix}, or, where the old ones are in the collection "
                "itself, a change to it, which needs a key that may manage. The old ones serve"
            ) from exc
        if self.look() != settings:
            raise IndexExistsError(
                f"{state.collection}{place.suffix}, where the new token tensors would be kept, is "
                "there and was not made for them: it is neither used nor deleted. Give it another "
                "name"
            )

    def take_over(self) -> None:
        """Serve, and delete those that served; raise IndexMismatchError where they were dropped."""
        made = self._found
        state = self._begin()
        serving, draft = state.tensors, self._server.run(_find(state))
        if serving is None or made is None:
            raise self._dropped()
        if draft is None or draft.settings != made.settings:
            if serving.settings == made.settings:  # another process was faster
                return
            raise self._dropped()
        if serving.companion:
            record = IndexRecord(tensors=draft.settings)
            self._server.run(save_record(draft.collection, state.version, record))
        else:
            record, turn = state.record, state.record.turn + 1
            self._collection.save(replace(record, tensors=draft.settings, draft=None, turn=turn))
        try:
            if serving.companion:
                self._server.run(companions.drop(serving.collection, state.version))
            else:
                self._empty(self._begin(), serving.place)
        except PermissionDeniedError as exc:
            raise PermissionDeniedError(
                f"{exc}. The new token tensors are complete; this key cannot delete the old, "
                f"`{serving.place.vector}` in {serving.collection}: the same command, run with one "
                "that can, goes on from there"
            ) from exc
        self._begin()

    def discard(self) -> None:
        """Delete what was begun and does not serve, and what is left of those that served."""
        state = self._begin()
        serving = state.tensors
        places = TOKEN_TENSORS.places if serving is None else (_other(serving),)
        for place in places:
            if serving is not None and not serving.companion:
                if place.is_in(state.info):
                    self._empty(state, place)
                if state.record.draft is not None:
                    self._collection.save(replace(state.record, draft=None))
            elif self._server.run(read_companion(state.collection, state.version, place)):
                name = f"{state.collection}{place.suffix}"
                self._server.run(companions.drop(name, state.version))
        self._found = None
        self._begin()

    def _require_room(self, state: State) -> None:
        if state.version < VECTOR_NAMES:
            raise UnsupportedServerError(
                f"Qdrant {state.version[0]}.{state.version[1]} cannot add vectors to a collection, "
                "so that there is no room for new token tensors beside the old; 1.18 can. Or "
                "index the documents into a new collection, with the new model as --encoder"
            )

    def _dropped(self) -> IndexMismatchError:
        return IndexMismatchError(
            f"the token tensors of {self._server.location} were dropped meanwhile, or made anew "
            "with other settings; run the command again"
        )


def _find(state: State) -> Steps[Added | None]:
    """Find what was begun, or is complete while those are there yet whose place it takes."""
    serving = state.tensors
    if serving is None:
        return None
    place, begun = _other(serving), state.record.draft
    if not serving.companion:
        if begun is None or not place.is_in(state.info):
            return None
        return Added(state.collection, place, state.info, begun, companion=False)
    there = yield from read_companion(state.collection, state.version, place)
    if there is None:
        return None
    settings = there.record.draft or there.record.tensors
    return Added(there.name, place, there.info, settings, companion=True)


def _other(serving: Added) -> Place:
    first, second = TOKEN_TENSORS.places
    return second if serving.place == first else first
