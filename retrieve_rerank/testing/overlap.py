"""The plainest scorer there is, for tests of what surrounds a scorer."""

from __future__ import annotations

from collections.abc import Sequence

from retrieve_rerank import Scorer


class OverlapScorer(Scorer):
    """Score a text by how many of the query's words it holds."""

    name = "overlap"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Count the words in common."""
        words = set(query.lower().split())
        return [float(len(words & set(text.lower().split()))) for text in texts]
