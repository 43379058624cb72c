"""What backends share about addresses that come to stand for something else while they are open."""

from __future__ import annotations

from retrieve_rerank.errors import (
    ConnectorError,
    IndexMismatchError,
    IndexNotFoundError,
    SchemaError,
    UnknownFieldError,
)

CHECK_EVERY_S = 10.0
"""After which the next search looks what the address stands for."""

TIMES = 3
"""That an address may move during one search."""


def may_be_of_a_move(exc: ConnectorError) -> bool:
    """Tell whether it is what a server says of fields that are gone, or are of another kind."""
    kinds = (IndexMismatchError, SchemaError, IndexNotFoundError, UnknownFieldError)
    return isinstance(exc, kinds) or type(exc) is ConnectorError


def moved_meanwhile(location: str, before: str, now: str) -> IndexMismatchError:
    """Make the error for work that was under way when an address moved."""
    return IndexMismatchError(
        f"{location} stood for {before} when this began, and stands for {now} now; run it again"
    )


def unfit(location: str, before: str, now: str, why: Exception) -> IndexMismatchError:
    """Make the error for what cannot be searched as what the address stood for before."""
    return IndexMismatchError(
        f"{location} stands for {now} now, no longer for {before}, and cannot be searched by the "
        f"same settings: {why}. Connect anew, with settings that fit"
    )


def unsteady(location: str) -> IndexMismatchError:
    """Make the error for an address that moves faster than it is searched."""
    return IndexMismatchError(
        f"{location} stands for something else at every look; try again once it stays"
    )
