"""What a model reads of a query that is asked by a user of whom something is known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retrieve_rerank.errors import ConfigError

DEFAULT = "{query} | {user}"

_PLACE = re.compile(r"\{(query|user)\}")


@dataclass(frozen=True, slots=True)
class QueryTemplate:
    """Text with `{query}` and `{user}` in it, for the query and what is known of who asks it.

    The query comes first, so that of both together it is the user's text that is cut where they
    are too long. Raises ConfigError for a template that lacks one of the two or has other braces.
    """

    pattern: str = DEFAULT

    def __post_init__(self) -> None:
        places = _PLACE.findall(self.pattern)
        rest = _PLACE.sub("", self.pattern)
        if sorted(places) != ["query", "user"] or "{" in rest or "}" in rest:
            raise ConfigError(
                f"the query template {self.pattern!r} must have {{query}} and {{user}}, once each,"
                f" and no other braces; for example, {DEFAULT!r}"
            )

    def render(self, query: str, user: str) -> str:
        """Fill in both; the query alone where nothing is known of the user."""
        filled = {"query": query, "user": user.strip()}
        if not filled["user"]:
            return query
        return _PLACE.sub(lambda match: filled[match[1]], self.pattern)
