"""Queries of more words than the server takes: which of them to search by.

The server counts a clause for each term and field, up to `indices.query.bool.max_clause_count`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from retrieve_rerank.connectors.elasticsearch.errors import TooManyWordsError

_LONGEST_WORD = 50  # characters; what is longer is of a script without spaces, and many terms


class Words(NamedTuple):
    """The words to search by."""

    text: str
    note: str | None = None
    """What a result should say of them."""


def shortened(query: str, before: Words, refused: TooManyWordsError, *, fields: int) -> Words:
    """Leave out words of a query after its words `before` were too many for the server.

    Kept are those of its beginning and its end: what is asked stands before what is pasted, or
    after it. Raises the refusal where nothing could be left out.
    """
    there = _different(query)
    tried = len(_different(before.text))
    limit = re.search(r"maxClauseCount is set to (\d+)", str(refused))
    room = int(limit[1]) // (2 * fields) if limit and before.note is None else tried // 2
    kept = min(room, tried // 2)
    if kept < 1 and before.note is None and there:  # one word, of which analysis makes very many
        return Words(
            there[0],
            "the query is longer than the server takes; words were searched for by its first"
            f" {len(there[0])} characters",
        )
    if kept < 1:
        raise refused
    head = (kept + 1) // 2
    some = [*there[:head], *there[len(there) - (kept - head) :]]
    note = (
        f"the query has {len(there)} different words, more than the server takes; words were "
        f"searched for by the first {head} and the last {kept - head} of them"
    )
    return Words(" ".join(some), note)


def _different(text: str) -> list[str]:
    pieces = re.findall(rf"\S{{1,{_LONGEST_WORD}}}", text)
    return list(dict.fromkeys(pieces))
