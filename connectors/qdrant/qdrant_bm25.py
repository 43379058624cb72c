"""Sparse vectors as Qdrant's own `Qdrant/bm25` makes them, in the server and in fastembed.

The engine that comes with the embedded index makes them too, so that they are the same to the
last token. Knows nothing of collections.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import qdrant_edge as edge

from retrieve_rerank.language import detect_language

LEFT_OUT = "the query has only what Qdrant/bm25 leaves out, and is not searched for by words"

_ALIKE = 0.9
"""Part of the tokens that must agree: fastembed strips punctuation a little differently."""


def query_terms(text: str, language: str) -> dict[int, float]:
    """Weigh a query's tokens, 1 each: token id -> weight."""
    vector = _bm25(language).embed_query(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def language_of(documents: Sequence[tuple[str, Sequence[int]]]) -> str | None:
    """Tell whether these texts' sparse vectors are of `Qdrant/bm25`, and in which language.

    Each text is tokenized here and compared with the token ids that it is stored with. None where
    they are of another kind, or there is nothing to tell it by.
    """
    told = [(text, set(ids)) for text, ids in documents if text and ids]
    if not told:
        return None
    found = detect_language([text for text, _ in told]).name
    for language in dict.fromkeys(("english", found)):
        if language in _LANGUAGES and _agreement(told, language) >= _ALIKE:
            return language
    return None


_LANGUAGES = frozenset(
    {
        *("arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek"),
        *("hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish"),
        *("swedish", "turkish"),
    }
)
"""For which both fastembed and the server have a stemmer."""


def _agreement(documents: Sequence[tuple[str, set[int]]], language: str) -> float:
    """Return the mean overlap (Jaccard) of tokens made here with tokens stored."""
    shares = []
    for text, stored in documents:
        made = set(_bm25(language).embed_document(text).indices)
        shares.append(len(made & stored) / len(made | stored))
    return sum(shares) / len(shares)


@cache
def _bm25(language: str) -> edge.Bm25:
    return edge.Bm25(edge.Bm25Config(language=language))
