"""Sparse vectors as Qdrant's own `Qdrant/bm25` makes them, in the server and in fastembed.

The engine that comes with the embedded index makes them too, so that they are the same to the last
token. How they were made is not recorded: it is told from texts and what they are stored with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import qdrant_edge as edge

from retrieve_rerank.text.language import detect_language

LEFT_OUT = "the query has only what Qdrant/bm25 leaves out, and is not searched for by words"

NO_LANGUAGE = "none"
"""Words are neither stemmed nor left out."""

_ALIKE = 0.9
"""Part of the tokens that must agree: fastembed strips punctuation a little differently."""

_PROBED = 10
"""Documents by which the ways to make tokens are compared."""

_VOCABULARY = 1 << 20
"""Tokens of learned encoders are numbered below; BM25's are hashes of 31 bits."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """How texts become tokens: the options of `Qdrant/bm25` by their names there."""

    language: str = "english"
    tokenizer: str = "word"
    lowercase: bool = True
    ascii_folding: bool = False
    stopwords: bool = True
    """Whether the language's are left out. If not, a query may have some that no text was stored
    with, which changes nothing."""


DEFAULT = Tokens()


class Stored(NamedTuple):
    """A document of which the sparse vector is known."""

    text: str
    everything: str
    """All texts of the payload, of which any may have gone into the vector."""
    ids: Sequence[int]


def query_terms(text: str, tokens: Tokens) -> dict[int, float]:
    """Weigh a query's tokens, 1 each: token id -> weight."""
    vector = _bm25(tokens).embed_query(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def tokens_of(documents: Sequence[Stored]) -> Tokens | None:
    """Tell whether these are sparse vectors of `Qdrant/bm25`, and how their tokens were made.

    Texts are tokenized here and compared with the token ids that they are stored with: the text
    alone first, as most do; else whatever makes most of what is stored of all texts there are. None
    where they are of another kind, or there is nothing to tell it by.
    """
    told = [each for each in documents if each.everything and each.ids]
    if not told or max(max(each.ids) for each in told) < _VOCABULARY:
        return None
    found = detect_language([each.text or each.everything for each in told]).name
    for language in dict.fromkeys(("english", found)):
        if language in _LANGUAGES and _agreement(told, Tokens(language)) >= _ALIKE:
            return Tokens(language)
    shares = {each: _share_made(told[:_PROBED], each) for each in _ways(found)}
    best = max(shares, key=shares.__getitem__)  # of equals the first
    return best if _share_made(told, best) >= _ALIKE else None


_LANGUAGES = (
    *("english", "arabic", "danish", "dutch", "finnish", "french", "german", "greek"),
    *("hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish"),
    *("swedish", "turkish"),
)
"""For which both fastembed and the server have a stemmer."""

_TOKENIZERS = {
    "word": edge.TokenizerType.Word,
    "multilingual": edge.TokenizerType.Multilingual,
    "whitespace": edge.TokenizerType.Whitespace,
    "code": edge.TokenizerType.Code,
    "prefix": edge.TokenizerType.Prefix,
}


def _ways(found: str) -> Iterator[Tokens]:
    """List the ways to make tokens, the likeliest first; stop words are never left out."""
    likely = dict.fromkeys(("english", found, NO_LANGUAGE))
    usual = [each for each in likely if each in (*_LANGUAGES, NO_LANGUAGE)]
    for tokenizer, folding, lower, language in product(
        _TOKENIZERS, (False, True), (True, False), usual
    ):
        yield Tokens(language, tokenizer, lower, folding, stopwords=False)
    for language in _LANGUAGES:  # of texts too short to tell it by
        yield Tokens(language, stopwords=False)


def _agreement(documents: Sequence[Stored], tokens: Tokens) -> float:
    """Return the mean overlap (Jaccard) of tokens made here of the text with tokens stored."""
    shares = []
    for each in documents:
        made, stored = _made(each.text, tokens), set(each.ids)
        shares.append(len(made & stored) / len(made | stored))
    return sum(shares) / len(shares)


def _share_made(documents: Sequence[Stored], tokens: Tokens) -> float:
    """Return the part of the tokens stored that are made here of all texts, mean over documents."""
    shares = []
    for each in documents:
        stored = set(each.ids)
        shares.append(len(_made(each.everything, tokens) & stored) / len(stored))
    return sum(shares) / len(shares)


def _made(text: str, tokens: Tokens) -> set[int]:
    return set(_bm25(tokens).embed_document(text).indices)


@cache
def _bm25(tokens: Tokens) -> edge.Bm25:
    none = tokens.language == NO_LANGUAGE
    return edge.Bm25(
        edge.Bm25Config(
            language="english" if none else tokens.language,
            stemmer=edge.DisabledStemmer() if none else None,
            stopwords=None if tokens.stopwords else edge.StopwordsSet(),
            tokenizer=_TOKENIZERS[tokens.tokenizer],
            lowercase=tokens.lowercase,
            ascii_folding=tokens.ascii_folding,
        )
    )
