"""What an index holds and the sources of `rr index` do not: named, or deleted on request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from retrieve_rerank.base import Connector
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.data.passages import Cut
from retrieve_rerank.errors import shown
from retrieve_rerank.indexing.documents import absent, prune

SMALL_INDEX = 10_000
"""Documents and passages of an index that is always read for what the sources do not have; a
larger one only where they make up half of it, so that adding a little to it stays quick."""

_NAMED = 5


class Absent(NamedTuple):
    """What the sources do not have."""

    ids: list[str]
    """Documents that the index still holds, in passages or whole; empty if none was looked for."""
    pruned: int = 0
    """Documents and passages that were deleted."""
    unread: bool = False
    """Whether deletion was asked for, but the sources were not read whole."""

    def lines(self) -> Iterator[str]:
        """Say it, and what to do."""
        if self.unread:
            yield "Note: nothing was pruned, since the sources could not be read whole"
        if self.ids:
            named = ", ".join(map(shown, self.ids[:_NAMED]))
            more = ", …" if len(self.ids) > _NAMED else ""
            one = len(self.ids) == 1
            yield (
                f"Note: the index holds {len(self.ids):,} document{'s' * (not one)} that these "
                f"sources do not have: {named}{more}. If {'it is' if one else 'they are'} gone, "
                "the same command with --prune deletes what the sources do not have; name all "
                "sources of the index in it"
            )


def deal_with_absent(
    connector: Connector, corpus: Corpus, cut: Cut, *, whole: bool, asked_to_prune: bool
) -> Absent:
    """Delete what the sources do not have if that is asked for, else look for it.

    Neither where they could not be read whole: `whole` says whether they were to their ends.
    """
    if not whole or corpus.unread:
        return Absent([], unread=asked_to_prune)
    if asked_to_prune:
        return Absent([], pruned=prune(connector, cut))
    worth_reading = cut.drawn < connector.count() <= max(SMALL_INDEX, 2 * cut.drawn)
    return Absent(sorted(absent(connector, cut)) if worth_reading else [])
