"""What the server's analysers do not see alike, said beside a text, and queries worded by it.

The analysers know their language's stems and stop words, and nothing of soft hyphens, Hebrew points
or the symbols of C# and C++. So documents of our own indexes have another field, LOOK_ALIKES, that
holds what `analysis` makes of such words; most documents have none. EVERY_WORD are the texts with
their stop words.
"""

from __future__ import annotations

from retrieve_rerank.connectors.analysis import analyse, fold

LOOK_ALIKES = "look_alikes"
EVERY_WORD = "every_word"
"""Variant of a field that is analysed without stop words and stems."""

# Their analysers fold ß and the final sigma, which the others keep.
_FOLDING_CASE = ("german", "greek")


def look_alikes(text: str, language: str) -> str:
    """Return the words of a text that fold into others, folded, and a word for each symbol."""
    found = [f"symbol{term:x}" for term in analyse(text, language).symbols]
    if not text.isascii():
        for word in text.split():
            folded = fold(word, language)
            plain = word.casefold() if language in _FOLDING_CASE else word.lower()
            if folded != plain:
                found.append(folded)
    return " ".join(found)


def asked(query: str, language: str) -> str:
    """Word a query so that it finds its look-alikes too."""
    return f"{query} {look_alikes(query, language)}".rstrip()


def only_stop_words(query: str, language: str) -> bool:
    """Tell whether a query has stop words and nothing else to search for."""
    terms = analyse(query, language)
    return bool(terms.stop_words) and not terms.content and not terms.symbols
