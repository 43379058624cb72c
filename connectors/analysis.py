"""What of a text is searched for by words: look-alike characters made one, terms, stop words.

An index keeps the analysis that it was made with; `ANALYSIS` is that of new ones.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

import Stemmer

from retrieve_rerank.text.language import SPACELESS, WORD, words
from retrieve_rerank.text.stop_words import STOP_WORDS

ANALYSIS = 2
"""1 folds case and width, and leaves out stop words and all symbols. 2 also folds what looks alike
(`fold`), and keeps stop words for queries of nothing else, emoji, and names such as C# and C++."""

HAS_SPACELESS = re.compile(f"[{SPACELESS}]")
_RUNS = re.compile(f"([{SPACELESS}]+)|[^{SPACELESS}]+")
_SYMBOLS = re.compile(
    "[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001fbff]"  # emoji
    r"|(?<![a-z0-9])[a-z0-9]+(?:\+{1,2}|#)(?![a-z0-9+#])"  # C++, C#
    r"|(?<![a-z0-9.])\.[a-z][a-z0-9]*"  # .NET
)

# Unicode's Default_Ignorable_Code_Point: soft hyphens, joiners, marks of direction, variation
# selectors. A zero-width space parts words; in Arabic script a non-joiner does, too.
_PARTING = re.compile("\u200b|(?<=[\u0600-\u06ff])\u200c")
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points and accents
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]"  # Arabic
    "|(?<=i)\u0307"  # what is left of a capital dotted I
)
_TO_PERSIAN = str.maketrans("كيى", "کیی")
_TO_ARABIC = str.maketrans("کی", "كي")


class Terms(NamedTuple):
    """The 32-bit term ids of a text, each as often as it occurs."""

    content: list[int]
    """Stemmed words without stop words, in their order."""
    symbols: list[int]
    """Emoji, and names that end or begin with a symbol, whose words are content as well."""
    stop_words: list[int]

    @property
    def wanted(self) -> list[int]:
        """What a query searches for: stop words where it has nothing else."""
        return [*self.content, *self.symbols] or self.stop_words


def analyse(text: str, language: str, *, analysis: int = ANALYSIS) -> Terms:
    """Turn a text into terms.

    Runs of a script without spaces become single characters and pairs of neighbours, as in
    Lucene's CJK analyzer. The first analysis knows content alone.
    """
    if analysis == 1:
        of_word = _terms_of_word(language, 1)
        return Terms(list(chain.from_iterable(map(of_word, words(text)))), [], [])
    folded = fold(text, language)
    found = Terms([], list(map(_hash, _SYMBOLS.findall(folded))), [])
    of_word, stop_words = _terms_of_word(language, 2), _stop_words(language, 2)
    for word in WORD.findall(folded):
        if word in stop_words:
            found.stop_words.append(_hash(f"\0{word}"))  # apart from other words' stems
        else:
            found.content.extend(of_word(word))
    return found


def fold(text: str, language: str) -> str:
    """Make one of what looks alike: case, composition, width, marks and joiners that readers do
    not see, Hebrew and Arabic points, the kaf and yeh of Arabic and Persian, digits."""
    if not text.isascii():
        text = _IGNORABLE.sub("", _PARTING.sub(" ", text))
    if language == "turkish":
        text = text.replace("I", "ı").replace("İ", "i")
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = _POINTS.sub("", text).translate(_TO_ARABIC if language == "arabic" else _TO_PERSIAN)
    return text.translate(_DIGITS)


@cache
def _stop_words(language: str, analysis: int) -> frozenset[str]:
    listed = STOP_WORDS.get(language, frozenset())
    return listed if analysis == 1 else frozenset(fold(word, language) for word in listed)


@cache
def _terms_of_word(language: str, analysis: int) -> Callable[[str], Sequence[int]]:
    """Return the function that turns one word of a language into terms; it remembers words."""
    stop_words = _stop_words(language, analysis)
    # The stemmer's own cache is not safe under threads; ours is.
    known = language in Stemmer.algorithms()
    stem = Stemmer.Stemmer(language, maxCacheSize=0).stemWord if known else str

    def plain(word: str) -> list[int]:
        if word in stop_words:
            return []
        stemmed = stem(word)
        # The dotless i counts for Turkish stems, and is left out by who has no such key.
        return [_hash(stemmed if analysis == 1 else stemmed.replace("ı", "i"))]

    @lru_cache(maxsize=1 << 16)
    def of_word(word: str) -> Sequence[int]:
        if word.isascii() or not HAS_SPACELESS.search(word):
            return plain(word)
        return list(_of_runs(word, plain))

    return of_word


def _of_runs(word: str, plain: Callable[[str], list[int]]) -> Iterator[int]:
    for match in _RUNS.finditer(word):
        run = match[0]
        if match[1]:
            yield from map(_hash, run)
            yield from map(_hash, map("".join, pairwise(run)))
        else:
            yield from plain(run)


def _hash(term: str) -> int:
    # The same in every process and release, as it is stored; 2 of 100,000 terms share one.
    return zlib.crc32(term.encode())


_DIGITS = {
    code: unicodedata.digit(chr(code)) + ord("0")
    for start in (0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50)  # Arabic to Thai
    for code in range(start, start + 10)
}
