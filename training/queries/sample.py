"""Proposals of an index, a sample of them: those with the lowest hashes."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from retrieve_rerank.training.normalising import digest
from retrieve_rerank.training.queries.proposals import Proposal, Source
from retrieve_rerank.types import Document

MOST_DOCUMENTS = 10
"""A title, heading or question of more documents, such as a site's name, says nothing of any."""


@dataclass(slots=True)
class Candidate:
    """A query that is proposed, and where it was found."""

    source: Source
    query: str
    spans: dict[str, str] = field(default_factory=dict)
    """Document or passage -> the span in it."""
    wholes: set[str] = field(default_factory=set)
    """The whole documents; no more than tell that there are too many."""

    @property
    def id(self) -> str:
        """The query's id: the same in every run."""
        return f"{self.source}-{digest(self.query):016x}"


class Sample:
    """At most `size` queries of each source, whatever the order in which documents come.

    The same text found in several documents is one query.
    """

    def __init__(self, sources: Sequence[Source], *, size: int, seed: int) -> None:
        self._size = size
        self._seed = str(seed)
        self._found: dict[Source, dict[int, Candidate]] = {source: {} for source in sources}
        self._highest: dict[Source, list[int]] = {source: [] for source in sources}  # negated

    def add(self, proposal: Proposal, document: Document) -> None:
        """Take a proposal in, or leave it where its hash is too high."""
        found, highest = self._found[proposal.source], self._highest[proposal.source]
        key = digest(self._seed, proposal.query)
        if key not in found:
            if len(found) == self._size:
                if key > -highest[0]:
                    return
                del found[-heapq.heappop(highest)]
            heapq.heappush(highest, -key)
            found[key] = Candidate(proposal.source, proposal.query)
        candidate = found[key]
        candidate.query = min(candidate.query, proposal.query)  # they differ in case, or the like
        if len(candidate.wholes) <= MOST_DOCUMENTS:
            candidate.wholes.add(document.whole_id)
            candidate.spans[document.id] = proposal.span

    @property
    def candidates(self) -> Mapping[Source, list[Candidate]]:
        """The queries of each source, the lowest hash first."""
        return {
            source: [found[key] for key in sorted(found)] for source, found in self._found.items()
        }
