"""What an address stands for while it is open: an alias may move, a collection be made anew.

Points do not say which collection they are of. So requests go to the collection that an alias stood
for when last looked, not through the alias: what is found, its documents and its scores are of one
collection whenever the alias moves. What it stands for is looked at with the first search after
CHECK_EVERY_S, and where the server refuses, nothing is found, or hits have no text. So long, at
most, is the old collection searched on, or one that was made anew under its name searched as the
old one was.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from retrieve_rerank.connectors import moving
from retrieve_rerank.connectors.moving import CHECK_EVERY_S, may_be_of_a_move, unfit, unsteady
from retrieve_rerank.connectors.qdrant.client import Call, Server, Steps
from retrieve_rerank.connectors.qdrant.detection import vector_fields
from retrieve_rerank.connectors.qdrant.opening import Options, State, reread
from retrieve_rerank.connectors.qdrant.record import IndexRecord, real_name, save_record
from retrieve_rerank.errors import (
    ConfigError,
    ConnectorError,
    IndexMismatchError,
    RetrieveRerankError,
    SchemaError,
    UnknownFieldError,
)
from retrieve_rerank.types import Document

T = TypeVar("T")


class Collection:
    """An open collection: its name, and what that was last found to stand for.

    All that changes while it is open is here. Safe to share between threads and event loops.
    """

    def __init__(self, server: Server, options: Options, state: State) -> None:
        self.server = server
        self.options = options
        self.state = state  # another at every look, so take it once
        self._turn = threading.Lock()
        self._looked_at = time.monotonic()
        self._sampled_at = -math.inf  # a sample that left hits without text as they are

    def settled(
        self, work: Callable[[State], Steps[tuple[T, Iterable[Document] | None]]]
    ) -> Steps[T]:
        """Do what looks into the collection, again where the name has come to stand for another.

        `work` returns its result and the documents found, None where they tell nothing. Raises
        IndexMismatchError where what the name stands for now cannot be searched like before.
        """
        yield from self.look_if_due()
        for _ in range(moving.TIMES):
            state = self.state
            try:
                result, documents = yield from work(state)
            except ConnectorError as exc:
                if not may_be_of_a_move(exc) or not (yield from self._moved(state)):
                    raise
                continue
            if documents is None or not (yield from self._explained(state, documents)):
                return result
        raise unsteady(self.server.location)

    def refresh(self) -> Steps[State]:
        """See what others have changed, and what the name stands for."""
        yield from self._moved(self.state)
        return self.state

    def put(self, before: State, now: State) -> State:
        """Keep what came of a state, unless it was another's already; return what is kept."""
        with self._turn:
            if self.state.searched_by == before.searched_by:
                self.state = now
            return self.state

    def save(self, record: IndexRecord) -> None:
        """Write the collection's record."""
        state = self.state
        self.server.run(save_record(state.collection, state.version, record))
        fields = record.fields if state.ours else state.fields
        self.put(state, replace(state, record=record, fields=fields))

    def same_as(self, begun: State) -> State:
        """Return what is known by now, for work that cannot begin anew.

        Raises IndexMismatchError where the name stands for something else than when it began.
        """
        state = self.state
        if _place(state) != _place(begun):
            raise moving.moved_meanwhile(self.server.location, _named(begun), _named(state))
        return state

    def require_there(self, begun: State) -> Steps[None]:
        """Raise IndexMismatchError where a collection that is being read was made anew."""
        info = yield Call("get_collection", {"collection_name": begun.collection})
        now = replace(begun, info=info)
        if (*_place(now), *_sizes(now)) != (*_place(begun), *_sizes(begun)):
            raise moving.moved_meanwhile(
                self.server.location, _named(begun), f"another {begun.collection}"
            )

    def look_if_due(self) -> Steps[None]:
        """Look what the name stands for, if that was long ago."""
        state = self.state
        # Others may fill an empty one at any time, and with its first documents comes what an own
        # one's words are weighed by.
        unfilled = state.empty or (state.ours and state.record.bm25 is None)
        if unfilled or time.monotonic() - self._looked_at > CHECK_EVERY_S:
            yield from self._moved(state)

    def _explained(self, state: State, documents: Iterable[Document]) -> Steps[bool]:
        """Tell whether that nothing is found, or hits have no text, is because of a move."""
        texts = [document.text for document in documents]
        if not texts:
            return (yield from self._moved(state))
        # Some collections have documents without text: they are sampled once in a while.
        if all(texts) or time.monotonic() - self._sampled_at < CHECK_EVERY_S:
            return False
        moved = yield from self._moved(state, fully=True)
        if not moved:
            self._sampled_at = time.monotonic()
        return moved

    def _moved(self, state: State, *, fully: bool = False) -> Steps[bool]:
        """Tell whether what searches go by is other than in `state`, and keep what it is now."""
        self._looked_at = time.monotonic()  # that others need not look too
        try:
            now = yield from reread(self.server, state, self.options, fully=fully)
        except RetrieveRerankError as exc:
            self._looked_at = -math.inf  # the next one must not go on with what is gone
            kinds = (ConfigError, IndexMismatchError, SchemaError, UnknownFieldError)
            if not isinstance(exc, kinds) or state.empty:
                raise
            there = yield from real_name(state.name)
            there = there if there != state.collection else f"another {there}"
            raise unfit(self.server.location, _named(state), there, exc) from exc
        return self.put(state, now).searched_by != state.searched_by


def _place(state: State) -> tuple[object, ...]:
    return state.collection, state.info.created_at


def _sizes(state: State) -> set[tuple[str, int]]:
    # Token tensors may be added and dropped meanwhile.
    return {(each.name, each.dimension) for each in vector_fields(state.info)}


def _named(state: State) -> str:
    made = f" (made {state.info.created_at})" if state.info.created_at else ""
    return f"{state.collection}{made}"
