"""Which script and language texts are in, as far as counting can tell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from retrieve_rerank.text.stop_words import STOP_WORDS

UNKNOWN = "unknown"

SAMPLE_TEXTS = 1000
SAMPLE_CHARACTERS = 2000  # of each text: neither a long document nor a large corpus costs more

_MIN_LETTERS = 20  # fewer prove nothing
_MIN_SHARE = 0.12  # of stop words; running prose has .2 to .5, lists of names and codes less
_MIN_LEAD = 1.1  # over the second language: Danish and Norwegian share most of their words
_KANA_IN_JAPANESE = 0.05  # of the letters; Chinese quotes a Japanese name now and then

# Vowel signs and accents that Python's \w leaves out; without them Hindi words would fall apart.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06ed\u0900-\u0903\u093a-\u094f\u0951-\u0963\u0980-\u0dff"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ece\u0f71-\u0f87\u102b-\u109d\u17b4-\u17d3"
)
WORD = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*")
"""A word or a number; of scripts without spaces, a whole run."""

SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af"
)
"""Han, kana, Hangul, Thai, Lao, Burmese, Khmer, as within [] of a pattern: written without
spaces, or (Hangul) with particles grown onto the word."""

# A script that one language in practice has for itself, or that is all we go by.
_BY_SCRIPT = {
    "armenian": "armenian",
    "bengali": "bengali",
    "georgian": "georgian",
    "greek": "greek",
    "han": "chinese",
    "hangul": "korean",
    "hebrew": "hebrew",
    "khmer": "khmer",
    "lao": "lao",
    "myanmar": "burmese",
    "tamil": "tamil",
    "telugu": "telugu",
    "thai": "thai",
}
_BY_WORDS = {
    "arabic": ("arabic", "persian", "urdu"),
    "cyrillic": ("bulgarian", "russian", "serbian", "ukrainian"),
    "devanagari": ("hindi", "nepali"),
}
_LATIN = tuple(sorted(STOP_WORDS.keys() - {name for names in _BY_WORDS.values() for name in names}))


class Language(NamedTuple):
    """What a sample of texts is written in."""

    name: str
    """In English, lower case ("english", "chinese"); "unknown" where counting cannot tell."""
    script: str
    """Most letters' script, lower case ("latin", "han", "cyrillic"); "unknown" without letters."""


def detect_language(texts: Iterable[str]) -> Language:
    """Tell the main language of texts by their letters' script and their stop words.

    Reads the beginning of the first thousand texts. A corpus in several languages is given the
    one that leads clearly; "unknown" when none does.
    """
    counts: Counter[str] = Counter()
    for text in islice(texts, SAMPLE_TEXTS):
        counts.update(words(text[:SAMPLE_CHARACTERS]))
    scripts: Counter[str] = Counter()
    for word, count in counts.items():
        for character in filter(str.isalpha, word):
            scripts[_script(character)] += count
    if scripts.total() < _MIN_LETTERS:
        return Language(UNKNOWN, scripts.most_common(1)[0][0] if scripts else UNKNOWN)
    east_asian = scripts["han"] + scripts["kana"]
    if 2 * east_asian > scripts.total() and scripts["kana"] >= _KANA_IN_JAPANESE * east_asian:
        return Language("japanese", "kana")
    script = scripts.most_common(1)[0][0]
    if script in _BY_SCRIPT:
        return Language(_BY_SCRIPT[script], script)
    candidates = _LATIN if script == "latin" else _BY_WORDS.get(script, ())
    return Language(_by_stop_words(counts, candidates), script)


def words(text: str) -> list[str]:
    """Cut a text into words and numbers, lower case, compatibility forms (full width) folded.

    Scripts without spaces come as whole runs; apostrophes and hyphens part words.
    """
    return WORD.findall(unicodedata.normalize("NFKC", text).lower())


def _by_stop_words(counts: Counter[str], languages: Iterable[str]) -> str:
    shares = sorted(
        (
            (sum(counts[word] for word in STOP_WORDS[language]) / counts.total(), language)
            for language in languages
        ),
        reverse=True,
    )
    if not shares or shares[0][0] < _MIN_SHARE:
        return UNKNOWN
    if len(shares) > 1 and shares[0][0] < _MIN_LEAD * shares[1][0]:
        return UNKNOWN
    return shares[0][1]


@lru_cache(maxsize=65536)
def _script(character: str) -> str:
    # Unicode names begin with the script: "LATIN SMALL LETTER A", "CJK UNIFIED IDEOGRAPH-4E00".
    name = unicodedata.name(character, UNKNOWN).split()[0].lower()
    if name in ("cjk", "ideographic"):
        return "han"
    return "kana" if name in ("hiragana", "katakana", "katakana-hiragana") else name
