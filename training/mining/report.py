"""What became of the queries and of what was found for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from retrieve_rerank.training.mining.rules import Reason


@dataclass(slots=True)
class Mined:
    """Counts, which grow while groups are mined; those of parts of the queries can be added."""

    queries: int = 0
    groups: int = 0
    hits: int = 0
    positives: int = 0
    """Judged relevant documents that the index holds."""
    not_returned: int = 0
    """Positives that the search did not return: reranking cannot move them."""
    not_held: int = 0
    """Judged relevant documents that the index does not hold."""
    negatives: int = 0
    kept_vetoed: int = 0
    """Vetoed texts that are in groups all the same, with a soft label or as positives."""
    dropped: Counter[Reason] = field(default_factory=Counter)
    """Why hits are no negatives -> how many. Hits are looked at until there are enough negatives;
    those beyond are not counted here."""
    without_positive: list[str] = field(default_factory=list)
    """Queries without a relevant text: the index holds none, or holds it in passages of which the
    search returned none, so that which of them is meant is not known. No group."""
    without_negative: list[str] = field(default_factory=list)
    """Queries of which no hit was admitted: no group."""
    degraded: list[str] = field(default_factory=list)
    """Queries whose search left out a stage."""
    textless: int = 0
    """Judged queries that have no text: not searched for."""

    @property
    def looked_at(self) -> int:
        """Hits that were held against the rules."""
        return self.negatives + self.dropped.total()

    def add(self, other: Mined) -> None:
        """Take in the counts of other queries."""
        for each in fields(self):
            ours, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(ours, Counter):
                ours.update(theirs)
            else:
                setattr(self, each.name, ours + theirs)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return {**asdict(self), "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Mined:
        """Read what `to_dict` wrote."""
        return cls(**{**values, "dropped": Counter(values["dropped"])})
