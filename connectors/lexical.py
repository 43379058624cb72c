"""BM25's terms and weights: what of a text becomes a term, and what it weighs in a document.

Okapi BM25 as in Robertson and Zaragoza 2009, https://doi.org/10.1561/1500000019: a document's
score is the sum, over the query's terms, of count in the query · inverse document frequency ·
weight in the document. Knows nothing of where the weights are kept, nor of document frequencies.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, pairwise
from statistics import fmean
from typing import Self

import Stemmer

from retrieve_rerank.function_words import FUNCTION_WORDS
from retrieve_rerank.language import SPACELESS, UNKNOWN, detect_language, words

K1, B = 0.9, 0.75
"""Best of 25 pairs by mean nDCG@10 over the train or dev queries of ten collections, Chinese among
them: .5475. The usual pairs are close: .5462 with 1.2 and .75, .5416 with .9 and .4."""

HAS_SPACELESS = re.compile(f"[{SPACELESS}]")
_RUNS = re.compile(f"([{SPACELESS}]+)|[^{SPACELESS}]+")


@dataclass(frozen=True, slots=True)
class Bm25:
    """BM25 for texts in one language, over documents of a known average length in terms."""

    language: str
    """As `detect_language` names it; where Snowball has no stemmer for it, words stay whole."""
    average_length: float
    k1: float = K1
    b: float = B

    @classmethod
    def fit(
        cls, texts: Sequence[str], *, language: str | None = None, k1: float = K1, b: float = B
    ) -> Self:
        """Take average length and, unless it is given, language from a sample of the documents.

        Texts in Latin script that tell no language (titles, part names) are read as English.
        """
        if language is None:
            found = detect_language(texts)
            language = "english" if found == (UNKNOWN, "latin") else found.name
        lengths = [len(terms(text, language)) for text in texts]
        return cls(language, max(1.0, fmean(lengths)) if lengths else 1.0, k1, b)

    def document(self, text: str) -> dict[int, float]:
        """Weigh a document's terms: they saturate with their count and shrink with its length."""
        counts = Counter(terms(text, self.language))
        length = counts.total() / self.average_length
        saturation = self.k1 * (1 - self.b + self.b * length)
        return {term: n * (self.k1 + 1) / (n + saturation) for term, n in counts.items()}

    def query(self, text: str) -> dict[int, float]:
        """Weigh a query's terms by their counts."""
        return {term: float(n) for term, n in Counter(terms(text, self.language)).items()}


def terms(text: str, language: str) -> list[int]:
    """Turn a text into 32-bit term ids: stemmed words without stop words, in their order.

    Runs of a script without spaces become single characters and pairs of neighbours, as in
    Lucene's CJK analyzer.
    """
    return list(chain.from_iterable(map(_terms_of_word(language), words(text))))


@cache
def _terms_of_word(language: str) -> Callable[[str], Sequence[int]]:
    """Return the function that turns one word of a language into terms; it remembers words."""
    stop_words = FUNCTION_WORDS.get(language, frozenset())
    # The stemmer's own cache is not safe under threads; ours is.
    known = language in Stemmer.algorithms()
    stem = Stemmer.Stemmer(language, maxCacheSize=0).stemWord if known else str

    def plain(word: str) -> list[int]:
        return [] if word in stop_words else [_hash(stem(word))]

    @lru_cache(maxsize=1 << 16)
    def of_word(word: str) -> Sequence[int]:
        if word.isascii() or not HAS_SPACELESS.search(word):
            return plain(word)
        found: list[int] = []
        for match in _RUNS.finditer(word):
            run = match[0]
            if match[1]:
                found.extend(map(_hash, run))
                found.extend(map(_hash, map("".join, pairwise(run))))
            else:
                found.extend(plain(run))
        return found

    return of_word


def _hash(term: str) -> int:
    # The same in every process and release, as it is stored; 2 of 100,000 terms share one.
    return zlib.crc32(term.encode())
