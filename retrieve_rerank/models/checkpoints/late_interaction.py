"""What a late-interaction checkpoint records of its queries and documents.

Reads the settings that sentence-transformers and PyLate write. Late interaction: Khattab and
Zaharia, SIGIR 2020, https://arxiv.org/abs/2004.12832.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PYLATE_QUERY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Expansion:
    """Fills every query up with a token of its own, the mask token where none is named."""

    length: int
    """Tokens of a query after filling."""
    attended: bool
    """Whether the other tokens see the added ones."""
    token: str | None = None
    cut: bool = True
    """Whether queries longer than `length` are shortened to it."""


@dataclass(frozen=True, slots=True)
class LateInteraction:
    """How the model's queries and documents differ."""

    query_tokens: int | None = None
    """Most tokens of a query; the model's own limit when None."""
    document_tokens: int | None = None
    expansion: Expansion | None = None
    skipped: Sequence[str] = ()
    """Tokens of documents that take no part in the scoring, such as punctuation."""
    markers: Sequence[str] = ()
    """Prefixes of queries and documents that are one token each."""


def read_late_interaction(
    whole: Mapping[str, Any],
    transformer: Mapping[str, Any],
    modules: Sequence[tuple[str, Mapping[str, Any]]],
) -> LateInteraction | None:
    """Read config_sentence_transformers.json, the transformer's settings and the modules'.

    None where the checkpoint is of another type.
    """
    pylate = whole.get("model_type") == "ColBERT"
    if not pylate and whole.get("model_type") != "MultiVectorEncoder":
        return None
    settings = {**whole, **transformer} if pylate else transformer
    mask = next((config for kind, config in modules if kind == "MultiVectorMask"), {})
    skipped = mask.get("skiplist_words", whole.get("skiplist_words"))
    if skipped is None:
        skipped = list(string.punctuation) if pylate else []
    return LateInteraction(
        query_tokens=settings.get("query_length"),
        document_tokens=settings.get("document_length"),
        expansion=_expansion(settings, pylate=pylate),
        markers=[whole[key] for key in ("query_prefix", "document_prefix") if whole.get(key)],
        skipped=skipped if "document" in mask.get("skiplist_tasks", ["document"]) else [],
    )


def _expansion(settings: Mapping[str, Any], *, pylate: bool) -> Expansion | None:
    if pylate and "query_expansion" not in settings:
        if settings.get("do_query_expansion") is False:
            return None
        return Expansion(
            length=settings.get("query_length") or _PYLATE_QUERY_LENGTH,
            attended=bool(settings.get("attend_to_expansion_tokens")),
        )
    stated = settings.get("query_expansion")
    if not stated:
        return None
    return Expansion(
        length=stated["length"],
        attended=bool(stated.get("attend")),
        token=stated.get("token"),
        cut=stated.get("strategy") == "fixed",
    )
