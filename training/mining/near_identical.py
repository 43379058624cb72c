"""Texts that are the same but for little: a copy of a positive is no negative."""

from __future__ import annotations

import re

SHINGLE = 5
"""Characters; words would not do for Chinese."""

THRESHOLD = 0.9
"""Jaccard similarity of shingles from which on texts count as copies: near-duplicate detection's
usual value (Manning et al., Introduction to Information Retrieval, §19.6)."""

_SPACES = re.compile(r"\s+")


class Shingles:
    """A text's character 5-grams, in lower case and with single spaces."""

    def __init__(self, text: str) -> None:
        text = _SPACES.sub(" ", text.casefold()).strip()
        self._set = {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}

    def near(self, other: Shingles) -> bool:
        """Tell whether at least nine tenths of the shingles of either are in both."""
        small, large = sorted((self._set, other._set), key=len)
        if len(small) < THRESHOLD * len(large):
            return False  # however many they share
        shared = len(small & large)
        return shared >= THRESHOLD * (len(small) + len(large) - shared)
