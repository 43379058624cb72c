"""BM25's weights: what a text's terms weigh in a document and in a query.

Okapi BM25 as in Robertson and Zaragoza 2009, https://doi.org/10.1561/1500000019: a document's score
is the sum, over the query's terms, of count in the query · inverse document frequency · weight in
the document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Self

from retrieve_rerank.connectors.analysis import ANALYSIS, Terms, analyse
from retrieve_rerank.text.language import UNKNOWN, detect_language

K1, B = 0.9, 0.75
"""Best of 25 pairs by mean nDCG@10 over the train or dev queries of ten collections, Chinese among
them: .5475. The usual pairs are close: .5462 with 1.2 and .75, .5416 with .9 and .4."""

NOTHING_TO_FIND = "the query has no words or emoji that could be searched for"
LEFT_OUT = (
    "the query has only words that this index leaves out, and is not searched for by words: made "
    "anew by this release (rr index … --recreate) it keeps them"
)


@dataclass(frozen=True, slots=True)
class Bm25:
    """BM25 for texts in one language, over documents of a known average length in terms."""

    language: str
    """As `detect_language` names it; where Snowball has no stemmer for it, words stay whole."""
    average_length: float
    k1: float = K1
    b: float = B
    analysis: int = 1
    """Of the texts, see `connectors.analysis`; what was recorded before there were two is the
    first."""

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
        lengths = [len(analyse(text, language).content) for text in texts]
        return cls(language, max(1.0, fmean(lengths)) if lengths else 1.0, k1, b, ANALYSIS)

    def document(self, text: str) -> dict[int, float]:
        """Weigh a document's terms: they saturate with their count and shrink with its length.

        Its length is that of its content: what stop words it has changes no other word's weight.
        """
        terms = self._terms(text)
        counts = Counter([*terms.content, *terms.symbols, *terms.stop_words])
        length = len(terms.content) / self.average_length
        saturation = self.k1 * (1 - self.b + self.b * length)
        return {term: n * (self.k1 + 1) / (n + saturation) for term, n in counts.items()}

    def query(self, text: str) -> dict[int, float]:
        """Weigh a query's terms by their counts; stop words count where there is nothing else."""
        return {term: float(n) for term, n in Counter(self._terms(text).wanted).items()}

    def notes(self, text: str) -> tuple[str, ...]:
        """Say why a query has no terms, where it has none."""
        if self.query(text):
            return ()
        newer = replace(self, analysis=ANALYSIS).query(text)
        return (LEFT_OUT if newer else NOTHING_TO_FIND,)

    def _terms(self, text: str) -> Terms:
        return analyse(text, self.language, analysis=self.analysis)
