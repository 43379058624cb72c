"""Texts that are the same but for little: a copy of a positive is no negative."""

from __future__ import annotations

import re

import numpy as np

SHINGLE = 5
"""Characters; words would not do for Chinese."""

THRESHOLD = 0.9
"""Jaccard similarity of shingles from which on texts count as copies: near-duplicate detection's
usual value (Manning et al., Introduction to Information Retrieval, §19.6)."""

_SPACES = re.compile(r"\s+")
_FACTORS = np.random.default_rng(0).integers(1 << 64, size=SHINGLE, dtype=np.uint64)
"""One for each place: a shingle's hash is its characters' code points times these, 64 bits of it,
so that two different shingles practically never share one."""
_SKETCH_BITS = 12  # of a hash, that tell which of 4,096 bits it sets in the sketch


class Shingles:
    """A text's character 5-grams, in lower case and with single spaces."""

    def __init__(self, text: str) -> None:
        text = _SPACES.sub(" ", text.casefold()).strip().ljust(SHINGLE, "\0")
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        count = len(codes) - SHINGLE + 1
        hashes = np.zeros(count, dtype=np.uint64)
        for place, factor in enumerate(_FACTORS):
            hashes += codes[place : place + count] * factor
        self._hashes = np.unique(hashes)
        sketch = np.zeros(1 << _SKETCH_BITS, dtype=bool)
        sketch[self._hashes >> np.uint64(64 - _SKETCH_BITS)] = True
        self._sketch = int.from_bytes(np.packbits(sketch).tobytes(), "big")
        self._size = len(self._hashes)

    def near(self, other: Shingles) -> bool:
        """Tell whether at least nine tenths of the shingles of either are in both."""
        both = self._size + other._size
        # With n shingles in one of the two alone, (both − n) / 2 of (both + n) / 2 are shared. A
        # bit that one sketch alone has stands for at least one such shingle: most texts end here.
        alone = (self._sketch ^ other._sketch).bit_count()
        if both - alone < THRESHOLD * (both + alone):
            return False
        shared = len(np.intersect1d(self._hashes, other._hashes, assume_unique=True))
        return shared >= THRESHOLD * (both - shared)
