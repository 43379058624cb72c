"""Cross-encoders: query and document read together by one model.

Knows nothing of how the model is run; `models` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import numpy as np

from retrieve_rerank.base import Judgment
from retrieve_rerank.errors import InputError
from retrieve_rerank.models.labels import Label
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.pair_model import PairModel
from retrieve_rerank.rerankers.drop_in import DropIn
from retrieve_rerank.template import Template
from retrieve_rerank.types import Hit, rescore

DEFAULT_MODEL = "ms-marco-MiniLM-L6-v2"
"""Small and English; fetched from the hub when it is first used."""

OVERLAP = 32
"""Tokens that a passage of a long document shares with the one before."""


class CrossEncoder(DropIn):
    """Score texts by a cross-encoder's raw logit.

    `long_documents` says what becomes of a text that the model cannot read whole: "truncate"
    reads its beginning, and counts it; "passages" scores all of it in overlapping passages and
    takes the best, at the price of a forward pass for each. `label` chooses among a model's
    several labels: a number from 0, a name, or "expectation" for what their probabilities expect.
    """

    name = "cross-encoder"

    def __init__(
        self,
        model: PairModel | str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        threads: int | None = None,
        template: Template | str | None = None,
        long_documents: Literal["truncate", "passages"] = "truncate",
        label: Label | None = None,
    ) -> None:
        if long_documents not in ("truncate", "passages"):
            raise InputError(
                f'long_documents must be "truncate" or "passages"; got {long_documents!r}'
            )
        if isinstance(model, str):
            model = load_pair_model(model, device=device, threads=threads, label=label)
        self.model = model
        if template is None:
            self.template = model.template
        else:
            self.template = Template(template) if isinstance(template, str) else template
        self.long_documents = long_documents

    @property
    def fingerprint(self) -> str:
        """The model's, with what else its scores depend on."""
        return f"{self.model.fingerprint} {self.model.label_score} {self.long_documents}"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text against the query; raw logits, higher is more relevant."""
        return self._score([(query, text) for text in texts])[0]

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score each (query, text) as `score` does, all in one go."""
        return self._score(pairs)[0]

    def judge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Order the hits, and count those of which the model read only the beginning."""
        texts = [self.template.render(hit.document) for hit in hits]
        scores, truncated = self._score([(query, text) for text in texts])
        return Judgment(rescore(hits, scores), truncated)

    async def ajudge(self, query: str, hits: Sequence[Hit]) -> Judgment:
        """Async twin of `judge`, in a thread."""
        return await asyncio.to_thread(self.judge, query, hits)

    def _score(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[float], int]:
        if not pairs:
            return [], 0
        if self.long_documents == "truncate":
            answer = self.model.score(pairs)
            return answer.scores.tolist(), answer.truncated
        passages = [self.model.passages(query, text, overlap=OVERLAP) for query, text in pairs]
        answer = self.model.score(
            [
                (query, part)
                for (query, _), parts in zip(pairs, passages, strict=True)
                for part in parts
            ]
        )
        starts = np.cumsum([0, *(len(parts) for parts in passages[:-1])])
        best: list[float] = np.maximum.reduceat(answer.scores, starts).tolist()
        return best, answer.truncated
