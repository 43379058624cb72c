"""A scorer as LangChain's cross-encoder, which its own `CrossEncoderReranker` takes."""

from __future__ import annotations

import math
from pathlib import Path

from langchain_core.cross_encoders import BaseCrossEncoder

from retrieve_rerank.base import Scorer
from retrieve_rerank.connecting import reranker_for
from retrieve_rerank.errors import InputError, NotPicklableError, ScoreError


class RerankCrossEncoder(BaseCrossEncoder):
    """Score pairs of texts by a model's name, or by any scorer of ours.

    `RerankDocumentCompressor` does more: it reads titles, keeps scores, and knows deadlines.
    """

    def __init__(self, model: Scorer | Path | str) -> None:
        made = reranker_for(str(model), None, {}) if isinstance(model, Path | str) else model
        if not isinstance(made, Scorer):
            raise InputError(
                "expected the name of a model, or a reranker that scores each text by itself; got "
                f"{type(made).__name__}"
            )
        self._scorer = made

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Score each (query, text), higher is more relevant; raise ScoreError on a NaN."""
        scores = self._scorer.score_pairs(text_pairs)
        for place, score in enumerate(scores):
            if math.isnan(score):
                raise ScoreError(f"{self._scorer.name} gave pair {place} NaN; expected a number")
        return scores

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._scorer.name})"

    def __getstate__(self) -> object:
        raise NotPicklableError(self)
