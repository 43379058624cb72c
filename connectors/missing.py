"""What is said where a server has no index of a name, or has one where none may be."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from retrieve_rerank.errors import IndexExistsError, IndexNotFoundError, shown

_NAMED = 5
_NEAR = 0.5  # of two names, so that "faq" is near "faqs-2024"


def missing(location: str, name: str, there: Sequence[str] | None) -> IndexNotFoundError:
    """Make the error; `there` are the server's indexes and aliases, None if they are not told."""
    said = f"there is no index {shown(name)} at {location}"
    if there is None:
        return IndexNotFoundError(f"{said}; which there are, the server does not tell this user")
    near = get_close_matches(name, there, n=_NAMED, cutoff=_NEAR)
    if near:
        return IndexNotFoundError(f"{said}; near to it: {', '.join(map(shown, near))}")
    some = ", ".join(map(shown, sorted(there)[:_NAMED])) or "none"
    more = f" and {len(there) - _NAMED:,} more" if len(there) > _NAMED else ""
    return IndexNotFoundError(f"{said}; the server has: {some}{more}")


def taken(location: str, alias: str) -> IndexExistsError:
    """Make the error for an alias that is the name of an index itself."""
    return IndexExistsError(
        f"{shown(alias)} cannot become an alias of {location}: an index has that name; choose "
        "another"
    )


def present(location: str, name: str, indexes: Sequence[str]) -> IndexExistsError:
    """Make the error for a name that an index has already, or an alias of `indexes`."""
    if list(indexes) in ([], [name]):
        return IndexExistsError(
            f"{location} already exists; open it to add to it, choose another name, or delete it"
        )
    some = ", ".join(map(shown, sorted(indexes)[:_NAMED]))
    return IndexExistsError(
        f"{location} already exists, as an alias of {some}; open it to add to that, or make an "
        "index by another name, which the alias can then be pointed at (take_alias)"
    )
