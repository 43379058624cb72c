"""Vectors that were added to a collection itself, all taken out of it again."""

from __future__ import annotations

from retrieve_rerank.connectors.qdrant import in_place
from retrieve_rerank.connectors.qdrant.added import Place
from retrieve_rerank.connectors.qdrant.client import Server
from retrieve_rerank.connectors.qdrant.companions import is_custom
from retrieve_rerank.connectors.qdrant.opening import State
from retrieve_rerank.connectors.qdrant.reader import Reader
from retrieve_rerank.connectors.qdrant.refusals import partial, write_what_can_be
from retrieve_rerank.connectors.qdrant.versions import VECTOR_NAMES
from retrieve_rerank.errors import LimitExceededError, UnsupportedServerError


def empty(server: Server, reader: Reader, state: State, place: Place) -> None:
    """Take all vectors of a place, and their hashes, out of the collection, and the room too.

    Raises UnsupportedServerError before Qdrant 1.18, and PartialWriteError.
    """
    if state.version < VECTOR_NAMES:
        raise UnsupportedServerError(
            f"Qdrant {state.version[0]}.{state.version[1]} cannot take vectors out of a "
            "collection; 1.18 can"
        )
    by_points = is_custom(state.info)
    if not by_points:
        try:
            server.run(in_place.forget_all(state, place))
        except LimitExceededError:  # of a rate: it counts as many writes as it finds points
            by_points = True
    if by_points:
        for page in reader.pages(state, with_payload=[place.hash]):
            hashed = [each for each in page if each.payload]
            refused = write_what_can_be(
                hashed,
                lambda some: server.run(in_place.forget(state, place, some)),
                lambda each: str(each.id),
            )
            if refused:
                raise partial(refused)
    server.run(in_place.remove_room(state, place))
