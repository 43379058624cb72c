"""Queries of which a model reads only the beginning."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

QUERY_TRUNCATED = "the query is longer than the model reads: only its beginning counts"
"""What a stage's report notes."""


@runtime_checkable
class Truncating(Protocol):
    """A model that can tell which queries it does not read whole."""

    def truncates(self, query: str) -> bool:
        """Tell whether it reads only the beginning of a query."""


def truncates(model: object, query: str) -> bool:
    """Tell whether a model reads only the beginning of a query; False where it cannot tell."""
    return isinstance(model, Truncating) and model.truncates(query)
