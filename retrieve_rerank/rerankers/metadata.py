"""Scores from metadata alone: how recent a document is, how popular.

Meant to be mixed into the incoming order, by a stage's weight.
"""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from retrieve_rerank.base import Reranker, RerankResult
from retrieve_rerank.errors import InputError
from retrieve_rerank.text.field_paths import value_at
from retrieve_rerank.types import Hit, rescore

BOOST_WEIGHT = 0.1
"""Share of a boost in the order. A convention, not measured: set it by `rr eval` on your data."""

_DAY_S = 86_400.0
_MILLISECONDS_FROM = 1e11  # seconds from here on would be after the year 5000


class Boost(Reranker):
    """Order hits by a number that each has in its metadata; those without one count as average."""

    default_weight = BOOST_WEIGHT
    unit: ClassVar[str]
    """What the field holds, for messages."""

    def __init__(self, field: str) -> None:
        """`field` is a metadata field; `source.date` also reaches into nested metadata."""
        self.field = field

    @abstractmethod
    def worth(self, value: Any) -> float | None:
        """Turn the field's value into a score, higher is better; None where it cannot be read."""

    def _rerank(self, query: str, hits: Sequence[Hit]) -> RerankResult:
        """Order hits by the field's worth.

        Raises InputError where no hit has a value that can be read.
        """
        values = [value_at(hit.document.metadata, self.field) for hit in hits]
        worths = [None if value is None else self.worth(value) for value in values]
        known = [worth for worth in worths if worth is not None]
        if hits and not known:
            example = next((value for value in values if value is not None), None)
            found = (
                "none has the field" if example is None else f"got, for example, {example!r:.80}"
            )
            raise InputError(f"no hit has {self.unit} in {self.field!r}; {found}")
        average = math.fsum(known) / len(known) if known else 0.0
        scores = [average if worth is None else worth for worth in worths]
        return RerankResult(rescore(hits, scores))


class Recency(Boost):
    """Prefer recent documents: a score of 1 now, halved with every `half_life_days`.

    The field holds ISO 8601 dates or times (UTC where they name no zone), or seconds or
    milliseconds since 1970. Dates to come count as now.
    """

    name = "recency"
    unit = "a date"

    def __init__(
        self,
        field: str,
        *,
        half_life_days: float = 365.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(field)
        if not 0 < half_life_days < math.inf:
            raise InputError(f"half_life_days must be above 0, and finite; got {half_life_days}")
        self.half_life_days = half_life_days
        self._now = now

    def worth(self, value: Any) -> float | None:
        """Return 0.5 to the power of age / half-life."""
        moment = _moment(value)
        if moment is None:
            return None
        age_days = max(0.0, (self._now() - moment).total_seconds() / _DAY_S)
        return float(0.5 ** (age_days / self.half_life_days))


class Popularity(Boost):
    """Prefer documents with high counts: clicks, citations, stars; ln(1 + count)."""

    name = "popularity"
    unit = "a count of at least 0"

    def worth(self, value: Any) -> float | None:
        """Return the logarithm: ten clicks matter more to none than to a thousand."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not 0 <= value < math.inf:
            return None
        return math.log1p(min(value, sys.float_info.max))  # an integer may lie beyond any float


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # no date; what is left of the hits decides whether that is an error
    return None
