"""What an index records of the model that its vectors were made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from retrieve_rerank.base import Embedder
from retrieve_rerank.models.checkpoints.resolving import portable_name


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """The model whose vectors an index holds."""

    name: str
    fingerprint: str
    dimension: int
    source: str
    """What loads it from whatever folder one works in: the name, or its folder's full path."""

    @classmethod
    def of(cls, encoder: Embedder) -> Self:
        """Take an encoder's facts."""
        source = portable_name(encoder.name)
        return cls(encoder.name, encoder.fingerprint, encoder.dimension, source)
