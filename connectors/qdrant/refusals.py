"""Writing what can be written: where a server refuses a batch, halve until the part is clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from retrieve_rerank.errors import (
    ConnectorError,
    LimitExceededError,
    PartialWriteError,
    RetrieveRerankError,
)

T = TypeVar("T")

MAX_REFUSED = 100
"""After which it is no longer about single documents."""


def write_what_can_be(
    items: Sequence[T], write: Callable[[Sequence[T]], object], id_of: Callable[[T], str]
) -> dict[str, str]:
    """Write items; return document id -> why, for those that the server refused.

    Errors that are not about what the items hold are raised.
    """
    if not items:
        return {}
    try:
        write(items)
    except RetrieveRerankError as exc:
        if type(exc) not in (ConnectorError, LimitExceededError):
            raise
        if len(items) == 1:
            return {id_of(items[0]): str(exc)}
        half = len(items) // 2
        refused = write_what_can_be(items[:half], write, id_of)
        if len(refused) <= MAX_REFUSED:
            refused |= write_what_can_be(items[half:], write, id_of)
        return refused
    return {}


def partial(refused: Mapping[str, str]) -> PartialWriteError:
    """Word the error for documents that were refused."""
    id_, why = next(iter(refused.items()))
    return PartialWriteError(
        f"{len(refused)} documents were refused; {id_!r}, for one: {why}", refused
    )
