"""Late interaction from texts: each query token's best match among a document's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrieve_rerank.base import (
    Connector,
    Reranker,
    Scorer,
    TensorConnector,
    TextScores,
    TokenEmbedder,
)
from retrieve_rerank.models.encoders.max_sim import max_sim
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.database import MAX_SIM_WEIGHT, DatabaseMaxSim
from retrieve_rerank.text.template import Template, readable

LOWEST = -1.0
"""The score of a text that is blank."""

BLOCK = 256  # texts whose token vectors are held at once: 100 MB at 256 tokens of 384 dimensions


class MaxSim(Scorer):
    """Score texts by MaxSim, computed here: every text goes through the model at each call."""

    name = "max-sim"
    default_weight = MAX_SIM_WEIGHT

    def __init__(self, embedder: TokenEmbedder, *, template: Template | None = None) -> None:
        self.embedder = embedder
        self.template = template or Template()

    @classmethod
    def configure(
        cls,
        connector: Connector,
        *,
        model: str | None = None,
        template: str | None = None,
        **options: Any,
    ) -> Reranker:
        """Use the tensors in the connector's database, unless it has none or a model is named."""
        if (
            model is None
            and template is None
            and isinstance(connector, TensorConnector)
            and connector.schema().token_tensors
        ):
            return DatabaseMaxSim(connector, **options)
        encoder = load_encoder(model) if model else load_encoder()
        return cls(encoder, template=None if template is None else Template(template), **options)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text: the mean over query tokens of the best cosine, within -1 and 1."""
        return list(self.score_texts(query, texts).scores)

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Score each text as `score` does, and tell which were not read to the end."""
        if not texts:
            return TextScores([])
        texts = [readable(text) for text in texts]
        # Each once: in another row of a batch equal texts would differ by rounding, and not tie.
        # What is blank says nothing, though a network likens its first and last token to anything.
        each = list(dict.fromkeys(text for text in texts if text.strip()))
        different = {text: place for place, text in enumerate(each)}
        [asked] = self.embedder.encode_queries([query])
        scores: list[float] = []
        truncated: list[bool] = []
        for start in range(0, len(each), BLOCK):
            encodings = self.embedder.encode_documents(each[start : start + BLOCK])
            scores += max_sim(asked.tokens, [encoding.tokens for encoding in encodings]).tolist()
            truncated += (encoding.truncated for encoding in encodings)
        places = [different.get(text) for text in texts]
        return TextScores(
            [LOWEST if place is None else scores[place] for place in places],
            [place is not None and truncated[place] for place in places],
            asked.truncated,
        )
